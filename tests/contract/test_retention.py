"""The end of what waits: in time, in order, and counted exactly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon import clock
from daemon.catalog.clock_guard import ClockGuard
from daemon.catalog.daemon_lock import DaemonLock
from daemon.deletion.models import Trigger, What
from daemon.errors import ErrorCode, SweepRefused, TaskRefused
from support.auditor import DELETED, RETAINED, audit, audit_task
from support.judging import policy_set
from support.site import Site, request

WEEK, AT_ONCE = timedelta(days=7), timedelta(microseconds=1)


def times(most: int) -> Callable[[], bool]:
    """Wanted so often."""
    left = iter(range(most))
    return lambda: next(left, None) is not None


def retain(site: Site, task_id: str, retain: timedelta = WEEK, **options: Any) -> str:
    outcome = site.engine.delete(request(task_id, What.DIRECTORY_AND_RECORDS, retain=retain, **options))
    assert outcome.deletion_id is not None
    return outcome.deletion_id


def test_what_is_due_goes_and_what_is_not_waits(site: Site) -> None:
    before = [site.task(f"task_{number}", files=number) for number in range(5)]
    for number, task in enumerate(before):
        retain(site, task.task_id, AT_ONCE if number % 2 else WEEK)
    assert site.retention.purge_expired() == 2
    assert site.retention.purge_expired() == 0
    fates = [audit_task(site.store, site.path, task) for task in before]
    assert fates == [RETAINED, DELETED, RETAINED, DELETED, RETAINED]
    assert site.metric("sweepd_deleted_files_total", trigger="api") == 1 + 3
    assert len(site.store.query("SELECT * FROM sweepd_snapshots")) == 3
    assert site.entries() == []


def test_what_was_written_while_it_waited_is_counted_too(site: Site) -> None:
    site.task("task_1", files=3)
    deletion_id = retain(site, "task_1", AT_ONCE)
    (site.retained / deletion_id / "late").write_bytes(b"x" * 100)
    site.retention.purge_expired()
    (entry,) = site.store.ledger("task_1")
    assert (entry["state"], entry["files"]) == ("purged", 4)


def test_a_large_directory_is_counted_while_it_waits(site: Site) -> None:
    before = site.task("task_1", files=300)
    outcome = site.engine.delete(request("task_1", retain=WEEK))
    assert outcome.census is None, "the answer does not wait for it"
    assert site.retention.count_waiting() == 1
    assert site.retention.count_waiting() == 0
    (record,) = site.retention.waiting()
    assert record.counts is not None
    assert record.counts.files == before.counts[0]
    site.retention.report()
    assert site.metric("sweepd_trash_bytes") == before.counts[3]


def test_a_full_disk_purges_the_oldest_first_whenever_it_is_due(site: Site) -> None:
    before = [site.task(f"task_{number}") for number in range(3)]
    for task, days in zip(before, (9, 3, 6), strict=True):
        retain(site, task.task_id, timedelta(days=days))
    for expected in ([DELETED, RETAINED, RETAINED], [DELETED, DELETED, RETAINED], [DELETED] * 3):
        assert site.retention.purge_oldest(times(1)) == 1
        assert [audit_task(site.store, site.path, task) for task in before] == expected
    assert site.retention.purge_oldest(times(1)) == 0


def test_what_is_held_or_frees_nothing_keeps_no_other_from_making_room(site: Site) -> None:
    empty = site.task("task_0", files=0)
    others = [site.task(f"task_{number}") for number in (1, 2, 3)]
    for task in (empty, *others):
        retain(site, task.task_id)
    site.hold("task_1")
    assert site.retention.purge_oldest(times(2)) == 2
    fates = [audit_task(site.store, site.path, task) for task in (empty, *others)]
    assert fates == [DELETED, RETAINED, DELETED, RETAINED]


def test_purging_by_name_is_all_or_nothing_before_it_begins(site: Site) -> None:
    before = [site.task("task_1"), site.task("task_2")]
    ids = [retain(site, task.task_id) for task in before]
    with pytest.raises(TaskRefused) as caught:
        site.retention.purge([ids[0], "f" * 28])
    assert caught.value.code is ErrorCode.DELETION_NOT_FOUND
    assert audit_task(site.store, site.path, before[0]) == RETAINED
    assert [record.state for record in site.retention.purge(ids)] == ["purged", "purged"]
    assert audit(site.store, site.path, before) == {"task_1": DELETED, "task_2": DELETED}
    with pytest.raises(TaskRefused, match="does not wait in the trash"):
        site.retention.purge(ids)


def test_a_directory_somebody_took_out_of_the_trash_does_not_stop_the_others(site: Site) -> None:
    site.task("task_1")
    other = site.task("task_2")
    deletion_id = retain(site, "task_1", AT_ONCE)
    retain(site, "task_2", AT_ONCE)
    shutil.rmtree(site.retained / deletion_id)
    assert site.retention.purge_expired() == 2
    assert audit_task(site.store, site.path, other) == DELETED
    assert site.store.ledger("task_1")[0]["state"] == "purged"
    assert site.entries() == []


def test_records_alone_wait_and_go_without_a_directory(site: Site) -> None:
    site.store.add_task("task_1", directory_exists=False)
    before = site.store.task("task_1")
    outcome = site.engine.delete(request("task_1", What.RECORDS, retain=WEEK))
    assert outcome.deletion_id is not None
    site.restorer.restore(outcome.deletion_id, "test")
    assert site.store.task("task_1") == before
    site.engine.delete(request("task_1", What.RECORDS, retain=AT_ONCE))
    assert site.retention.purge_expired() == 1
    assert site.store.query("SELECT * FROM sweepd_snapshots") == []


def test_one_daemon_holds_the_catalog_and_takes_it_again_after_an_outage(postgres_site: Site) -> None:
    site = postgres_site
    first, second = (DaemonLock(site.catalog.database, site.catalog.root_id()) for _ in range(2))
    other_root = DaemonLock(site.catalog.database, "another")
    try:
        assert (first.hold(), first.hold(), second.hold(), other_root.hold()) == (True, True, False, True)
        site.store.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
            " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
        assert second.hold(), "the first one's lock went with its connection"
        assert not first.hold()
        second.release()
        assert first.hold()
    finally:
        for lock in (first, second, other_root):
            lock.release()


def test_clocks_that_cannot_be_believed_stop_what_would_delete(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.task("task_1", created_at="2024-01-01 00:00:00", completed_at="2024-01-01 00:00:00")
    guard = ClockGuard(site.catalog)
    sweeper = site.sweeper(guard)
    enforcing = policy_set({"older_than": "30d"}, mode="enforce")
    observing = policy_set({"older_than": "30d"}, mode="observe")
    assert guard.problem() is None
    with monkeypatch.context() as patch:
        # The wall clock has moved on by an hour, and the time since the machine started has not.
        patch.setattr(clock, "now", lambda: datetime.now(UTC) + timedelta(hours=1))
        if not site.store.sqlite:
            assert "apart" in str(guard.problem())
        with pytest.raises(SweepRefused) as caught:
            sweeper.sweep(enforcing, enforcing.policies[0], Trigger.CLI, "test")
        assert caught.value.code is ErrorCode.CLOCK_UNRELIABLE
        assert sweeper.sweep(observing, observing.policies[0], Trigger.CLI, "test").outcome == "observed"
    assert guard.problem() is None
    assert sweeper.sweep(enforcing, enforcing.policies[0], Trigger.CLI, "test").outcome == "success"


def test_what_waits_is_purged_on_a_full_disk_without_a_new_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = site.task("task_1", files=300)
    held = site.task("task_2")
    for name in ("task_1", "task_2"):
        site.engine.delete(request(name, retain=timedelta(days=1)))
    site.hold("task_2")

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    made: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("daemon.storage.trash.os.mkdir", full)
        patch.setattr("daemon.storage.durable._write", lambda _fd, name, _data: made.append(name))
        site.retention.purge([site.store.ledger("task_1")[0]["deletion_id"]])
    assert made == []
    assert audit_task(site.store, site.path, before) == "deleted"
    assert audit_task(site.store, site.path, held) == "retained"
