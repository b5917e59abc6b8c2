"""What is told to real receivers, on both databases: each thing once, over restarts, outages and dead receivers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from daemon import log
from daemon.catalog import announcements, notices, outbox, suspensions, sweeps
from daemon.catalog.outbox import Message
from daemon.deletion.models import Trigger
from daemon.errors import CatalogUnavailable
from daemon.notify import delivery, notifier
from daemon.notify.delivery import pause
from daemon.notify.notices import Severity, notice
from daemon.notify.notifier import Notifier
from daemon.policy.loader import load_policies
from daemon.policy.models import PolicySet
from daemon.webhooks import NotificationsConfig, Subject
from support.logs import logged
from support.receiver import HANG, SECRET, Receiver, receiving
from support.site import Site

STATUSES = ("pending", "in_progress", "running", "partial_completed", "completed", "failed")
EVERYTHING = [str(subject) for subject in Subject]
POLICIES = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {status: failed}
    action: {delete: directory}
  - name: limited
    mode: enforce
    match: {status: completed}
    limits: {max_tasks: 1}
    action: {delete: directory}
"""
_log = log.get(__name__)


@dataclass
class Told:
    """A notifier's surroundings, which a test changes as it goes."""

    site: Site
    policies: PolicySet
    receiver: Receiver
    config: NotificationsConfig
    problems: dict[str, str | None] = field(
        default_factory=lambda: dict.fromkeys(("catalog", "storage_root", "journal", "clock"))
    )
    unsettled: int | None = 0

    @contextmanager
    def running(self) -> Iterator[Notifier]:
        made = Notifier(
            self.site.catalog,
            self.site.metrics,
            "/data",
            config=lambda: self.config,
            policies=lambda: self.policies,
            problems=lambda: dict(self.problems),
            starting="starting",
            unsettled=lambda: self.unsettled,
        )
        made.start()
        try:
            yield made
        finally:
            made.stop()

    def wait(self, done: Callable[[], object], what: str = "") -> None:
        self.receiver.wait(done, what)

    def types(self) -> list[str]:
        return sorted(item["type"] for item in self.receiver.items())

    def settle(self) -> None:
        """Until everything that has happened was looked at, and sent: what comes after it has come."""
        mark = f"mark {time.monotonic_ns()}"
        with self.site.catalog.write() as session:
            new = notice(Subject.ALARMS, "mark", Severity.INFO, mark)
            notices.add(session.connection, [new])
        _log.warning("reload_failed", reason=mark)  # opens the window
        self.wait(lambda: any(mark in item["text"] and item["type"] == "mark" for item in self.receiver.items()), mark)

    def queue(self) -> list[dict[str, Any]]:
        return self.site.store.query("SELECT * FROM sweepd_outbox ORDER BY created_at, message_id")

    def metric(self, name: str) -> float:
        return self.site.metric(f"sweepd_notifications_{name}", webhook="ops")


def configured(*receivers: Receiver, **options: Any) -> NotificationsConfig:
    hooks = [
        {"name": name, "url": one.url, "secret": SECRET, "events": EVERYTHING}
        for name, one in zip(("ops", "other"), receivers, strict=False)
    ]
    return NotificationsConfig.model_validate({"webhooks": hooks, "window": timedelta(milliseconds=50), **options})


@pytest.fixture
def told(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setattr(notifier, "_TICK_S", 0.02)
    monkeypatch.setattr(notifier, "_LOOK_S", 0.02)
    monkeypatch.setattr(delivery, "_LOOK_S", 0.05)
    monkeypatch.setattr(delivery, "_LONGEST_REST_S", 0.05)
    monkeypatch.setattr(delivery, "FIRST_PAUSE_S", 0.05)
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "p.yaml").write_text(POLICIES)
    with logged("critical"), receiving() as receiver:
        yield Told(site, load_policies(folder, statuses=STATUSES), receiver, configured(receiver))


def sweep(told: Told, name: str) -> None:
    told.site.sweeper().sweep(told.policies, told.policies.get(name), Trigger.CLI, "cli:test")


def test_every_sweep_is_told_once_whoever_made_it_and_when(told: Told) -> None:
    told.site.task("failed_1", status="failed")
    for number in range(2):
        told.site.task(f"completed_{number}")
    sweep(told, "old")  # while nobody listens
    with told.running():
        sweep(told, "limited")
        told.wait(lambda: len(told.types()) == 2)
    with told.running():
        told.settle()
    assert told.types().count("sweep.finished") == 1
    (blocked,) = told.receiver.items("sweep.blocked")
    assert (blocked["subject"], blocked["severity"], blocked["policy"]) == ("limits", "error", "limited")
    assert blocked["details"]["limits"] == ["max_tasks"]
    (finished,) = told.receiver.items("sweep.finished")
    assert finished["text"].startswith("policy old: success; 1 of 1 selected tasks deleted (")
    assert all(one.genuine for one in told.receiver.deliveries)


def test_what_ended_days_ago_is_no_news(told: Told) -> None:
    sweep(told, "old")
    long_ago = datetime.now(UTC) - timedelta(days=3)
    told.site.store.query(
        "UPDATE sweepd_sweeps SET finished_at = ?",
        [long_ago.replace(tzinfo=None) if told.site.store.sqlite else long_ago],
    )
    with told.running():
        told.settle()
    assert not told.receiver.items("sweep.finished")
    assert [bool(row["noticed"]) for row in told.site.store.query("SELECT noticed FROM sweepd_sweeps")] == [True]


def test_an_alarm_is_told_when_it_begins_and_when_it_is_over_whatever_restarts_lie_between(told: Told) -> None:
    told.problems["storage_root"] = "not mounted"
    told.unsettled = 3
    with told.running():
        told.wait(lambda: len(told.receiver.items("alarm.raised")) == 2)
    told.problems["storage_root"] = "starting"
    told.unsettled = None
    with told.running():
        told.settle()
        told.problems["storage_root"] = "still not mounted"
        told.unsettled = 3
        told.settle()
        assert len(told.receiver.items("alarm.raised")) == 2
        assert told.receiver.items("alarm.cleared") == []
        told.problems["storage_root"] = None
        told.wait(lambda: told.receiver.items("alarm.cleared"))
    (over,) = told.receiver.items("alarm.cleared")
    assert over["details"]["alarm"] == "storage_root"
    assert "not mounted" in over["text"]
    assert told.receiver.items("alarm.raised")[0]["severity"] == "error"
    assert [row["name"] for row in told.site.store.query("SELECT name FROM sweepd_alarms")] == ["trash_stuck"]


def test_a_suspended_policy_is_an_alarm_until_it_goes_on(told: Told) -> None:
    with told.site.catalog.write() as session:
        sweeps.remember(session.connection, "old")
        suspensions.suspend(session.connection, "old", "all failed", told.policies.get("old").digest)
    with told.running():
        told.wait(lambda: told.receiver.items("alarm.raised"))
        told.site.sweeper().suspensions.lift("old", "test")
        told.wait(lambda: told.receiver.items("alarm.cleared"))
    (raised,) = told.receiver.items("alarm.raised")
    assert (raised["subject"], raised["policy"]) == ("suspensions", "old")
    assert "sweepd resume old" in raised["text"]


def test_a_policy_whose_notify_was_taken_out_while_nobody_listened_forgets_what_it_announced(told: Told) -> None:
    with told.site.catalog.write() as session:
        announcements.add(session.connection, told.policies.get("old"), ["task_1"], datetime.now(UTC))
    with told.running():
        told.wait(lambda: told.site.store.query("SELECT * FROM sweepd_announcements") == [])


def test_without_a_webhook_tasks_are_announced_all_the_same(told: Told, tmp_path: Path) -> None:
    """What is not announced is not deleted: a policy would wait for ever."""
    told.site.task("failed_1", status="failed")
    (tmp_path / "policies" / "p.yaml").write_text(
        POLICIES.replace(
            "match: {status: failed}", "match: {status: failed}\n    schedule: {every: 1h}\n    notify: {before: 1s}"
        )
    )
    told.policies = load_policies(tmp_path / "policies", statuses=STATUSES)
    sweep(told, "old")
    assert (told.site.path / "failed_1").exists()
    told.config = NotificationsConfig()
    with told.running():
        told.wait(lambda: told.site.store.query("SELECT * FROM sweepd_announcements"))
        while (told.site.path / "failed_1").exists():
            sweep(told, "old")
    assert told.site.store.query("SELECT * FROM sweepd_notices") == []


def test_a_message_that_is_not_taken_is_tried_again_under_its_id(told: Told) -> None:
    told.receiver.answer = 500
    with told.running():
        _log.warning("drift_found", orphans=1, missing=0)
        told.wait(lambda: len(told.receiver.deliveries) >= 3)
        told.wait(lambda: told.metric("queued") == 1)
        told.receiver.answer = 200
        told.wait(lambda: told.queue() == [] and told.metric("queued") == 0)
    assert len(told.receiver.messages()) == 1
    assert told.metric("sent_total") == 1
    assert told.metric("failed_total") == len(told.receiver.deliveries) - 1
    stamps = [int(one.headers["webhook-timestamp"]) for one in told.receiver.deliveries]
    assert stamps == sorted(stamps)
    assert all(one.genuine for one in told.receiver.deliveries)


def test_what_was_taken_is_not_sent_again_while_the_database_takes_no_note_of_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, tries = outbox.remove, list[Message]()

    def refused(connection: Any, message: Message) -> None:
        tries.append(message)
        if len(tries) < 5:
            raise CatalogUnavailable("it takes no changes")
        remove(connection, message)

    monkeypatch.setattr(outbox, "remove", refused)
    with told.running():
        _log.warning("drift_found", orphans=1, missing=0)
        told.wait(lambda: len(tries) >= 5 and told.queue() == [])
    assert len(told.receiver.deliveries) == 1
    assert told.metric("sent_total") == 1


def test_what_was_not_sent_is_sent_by_the_next_start(told: Told) -> None:
    told.receiver.answer = 503
    with told.running():
        _log.warning("drift_found", orphans=1, missing=0)
        told.wait(lambda: told.receiver.deliveries)
    (row,) = told.queue()
    assert "answered 503" in str(row["error"]) or row["attempts"] == 0
    told.receiver.answer = 200
    with told.running():
        told.wait(lambda: told.queue() == [])
    assert len(told.receiver.messages()) == 1


def test_a_receiver_that_is_gone_is_not_asked_again(told: Told) -> None:
    told.receiver.answer = 410
    with told.running():
        _log.warning("drift_found", orphans=1, missing=0)
        told.wait(lambda: told.metric("dropped_total") == 1)
    assert told.queue() == []
    assert len(told.receiver.deliveries) == 1


def test_what_happens_within_a_window_is_one_message(told: Told) -> None:
    told.config = configured(told.receiver, window=timedelta(seconds=1))
    with told.running():
        for number in range(120):
            _log.warning("drift_found", orphans=number, missing=0)
        told.wait(lambda: told.receiver.deliveries)
    (one,) = told.receiver.deliveries
    data = one.document["data"]
    assert (data["total"], data["omitted"], len(data["items"])) == (120, 70, 50)


def _has(receiver: Receiver, items: int) -> bool:
    return len(receiver.items()) == items


def test_a_receiver_that_hangs_delays_nobody_else(told: Told) -> None:
    with receiving() as other:
        told.config = configured(told.receiver, other)
        told.receiver.answer = HANG
        with told.running():
            began = time.monotonic()
            for number in range(3):
                _log.warning("drift_found", orphans=number, missing=0)
                other.wait(partial(_has, other, number + 1))
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 5, "nor the end of the daemon"
        assert stopping - began < 8
        assert len(told.receiver.deliveries) == 1


def test_a_webhook_that_is_taken_out_leaves_nothing(told: Told) -> None:
    with receiving() as other:
        told.config = configured(told.receiver, other)
        other.answer = 500
        with told.running():
            _log.warning("drift_found", orphans=1, missing=0)
            other.wait(lambda: other.deliveries)
            told.config = configured(told.receiver)
            told.wait(lambda: told.queue() == [])
    assert told.site.metrics.registry.get_sample_value("sweepd_notifications_queued", {"webhook": "other"}) is None


def test_the_database_is_away_for_long(told: Told) -> None:
    told.config = configured(told.receiver, patience=timedelta(milliseconds=300))
    with told.running():
        told.settle()
        told.problems |= {"catalog": "no answer", "storage_root": "not mounted"}
        _log.warning("drift_found", orphans=7, missing=0)
        told.wait(lambda: "catalog" in [item["details"]["alarm"] for item in told.receiver.items("alarm.raised")])
        told.problems["catalog"] = None
        told.wait(lambda: told.receiver.items("alarm.cleared"))
        told.settle()
    assert [item["details"]["alarm"] for item in told.receiver.items("alarm.cleared")] == ["catalog"]
    raised = sorted(item["details"]["alarm"] for item in told.receiver.items("alarm.raised"))
    assert raised == ["catalog", "storage_root"], "each once, with the database or without"
    assert len(told.receiver.items("drift_found")) == 1
    assert [row["name"] for row in told.site.store.query("SELECT name FROM sweepd_alarms")] == ["storage_root"]


def test_an_alarm_is_not_told_again_by_a_start_without_the_database(told: Told) -> None:
    told.problems["storage_root"] = "not mounted"
    with told.running():
        told.wait(lambda: told.receiver.items("alarm.raised"))
    told.config = configured(told.receiver, patience=timedelta(milliseconds=100))
    told.problems |= {"catalog": "no answer", "journal": "rolled back"}
    with told.running():
        told.wait(lambda: len(told.receiver.items("alarm.raised")) > 1)
        told.problems["catalog"] = None
        told.wait(lambda: told.receiver.items("alarm.cleared"))
        told.settle()
    raised = [item["details"]["alarm"] for item in told.receiver.items("alarm.raised")]
    assert raised == ["storage_root", "catalog", "journal"], "what is new besides is told when the database is back"
    assert [item["details"]["alarm"] for item in told.receiver.items("alarm.cleared")] == ["catalog"]


def test_the_database_is_away_for_a_moment(told: Told) -> None:
    with told.running():
        told.settle()
        told.problems["catalog"] = "no answer"
        _log.warning("drift_found", orphans=7, missing=0)
        time.sleep(0.2)
        told.problems["catalog"] = None
        told.wait(lambda: told.receiver.items("drift_found"))
        told.settle()
    assert told.receiver.items("alarm.raised") == []


def message(number: int) -> Message:
    return Message(f"msg_{number:03}", "ops", datetime.now(UTC) + timedelta(seconds=number), "{}")


def test_no_more_than_so_many_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST", 3)
    with site.catalog.write() as session:
        dropped = [outbox.put(session.connection, message(number)) for number in range(5)]
        outbox.put(session.connection, Message("msg_9", "other", datetime.now(UTC), "{}"))
    assert dropped == [0, 0, 0, 1, 1]
    kept = site.store.query("SELECT message_id FROM sweepd_outbox WHERE webhook = 'ops' ORDER BY message_id")
    assert [row["message_id"] for row in kept] == ["msg_002", "msg_003", "msg_004"]


def test_a_clock_that_was_turned_back_keeps_nothing_waiting(site: Site) -> None:
    now = datetime.now(UTC)
    with site.catalog.write() as session:
        outbox.put(session.connection, Message("msg_1", "ops", now, "{}"))
        found = outbox.due(session.connection, "ops", now)
        assert found is not None
        outbox.put_off(session.connection, found, now + timedelta(minutes=50), "it failed")
        assert outbox.due(session.connection, "ops", now) is None
        assert outbox.due(session.connection, "ops", now - timedelta(days=1)) is not None
        outbox.hasten(session.connection, "ops", now)
        again = outbox.due(session.connection, "ops", now)
    assert again is not None
    assert again.attempts == 1


def test_pauses_double_up_to_an_hour_and_respect_what_is_asked_for() -> None:
    seconds = [pause(attempts, None, 0.0).total_seconds() for attempts in (1, 2, 3, 11, 100)]
    assert seconds == [5, 10, 20, 3600, 3600]
    assert pause(2, None, 1.0).total_seconds() == 7.5
    assert pause(1, 120, 0.5).total_seconds() == 120
    assert pause(1, 86_400, 0.0).total_seconds() == 3600
