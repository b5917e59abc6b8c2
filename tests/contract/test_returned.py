"""A directory that is there although its row says that it is gone: the pipeline has run the task again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.catalog.scans import Drift
from daemon.deletion.models import Trigger, What
from daemon.inventory.overview import drift_list, overview
from daemon.storage.trash import TrashEntry
from support.judging import policy_set
from support.processes import ForkServer
from support.scanning import make_scanner
from support.site import Site, request
from support.trees import fill, snapshot

OLD = "2024-01-01 00:00:00"


def exists(site: Site, task_id: str) -> bool:
    row = site.store.task(task_id)
    assert row is not None
    return bool(row["directory_exists"])


def run_again(site: Site, task_id: str) -> Path:
    """As the pipeline does, which does not know of the column."""
    new = f"{datetime.now(UTC) - timedelta(days=5):%Y-%m-%d %H:%M:%S}"
    site.store.query(
        "UPDATE data_pipeline_tasks SET status = 'completed', completed_at = ? WHERE task_id = ?", [new, task_id]
    )
    return fill(site.path / task_id, 4)


def scan(site: Site) -> None:
    assert make_scanner(site).scan() is not None


def told(site: Site) -> list[str]:
    listed = drift_list(site.catalog, Drift.RETURNED, 10)
    counted = overview(site.catalog, 1).drift
    assert counted is not None
    assert counted[Drift.RETURNED] == listed.total == len(listed.tasks)
    return [one.task_id for one in listed.tasks]


@pytest.fixture
def deleted(site: Site) -> str:
    """A task whose directory was deleted and whose row is still there, beside others that stay."""
    for number in range(3):
        site.task(f"other_{number}", steps=0, status="failed")
    site.task("task_1", created_at=OLD, completed_at=OLD)
    site.engine.delete(request("task_1"))
    assert not exists(site, "task_1")
    return "task_1"


def test_a_scan_puts_the_row_right_and_the_next_sweep_takes_it_by_its_new_date(site: Site, deleted: str) -> None:
    run_again(site, deleted)
    with structlog.testing.capture_logs() as events:
        scan(site)
    assert exists(site, deleted)
    assert told(site) == []
    (event,) = [event for event in events if event["event"] == "directories_returned"]
    assert (event["number"], event["task_ids"]) == (1, [deleted])
    for age, gone in (("30d", []), ("3d", [deleted])):
        policies = policy_set({"status": "completed", "older_than": age}, mode="enforce")
        report = site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
        assert [one.task_id for one in report.deleted] == gone


def test_what_is_no_directory_is_not_taken_for_one(site: Site, deleted: str, tmp_path: Path) -> None:
    (site.path / deleted).symlink_to(tmp_path)
    scan(site)
    assert (exists(site, deleted), told(site)) == (False, [deleted])
    (site.path / deleted).unlink()
    (site.path / deleted).touch()
    scan(site)
    assert (exists(site, deleted), told(site)) == (False, [])


def test_one_that_nobody_may_read_is_there_all_the_same(site: Site, deleted: str) -> None:
    run_again(site, deleted).chmod(0)
    scan(site)
    assert exists(site, deleted)
    (site.path / deleted).chmod(0o700)


@pytest.mark.parametrize("retain", [None, timedelta(days=7)], ids=["at once", "retained"])
def test_one_that_is_made_between_the_move_and_the_commit_is_not_marked_as_gone(
    site: Site, monkeypatch: pytest.MonkeyPatch, retain: timedelta | None
) -> None:
    site.task("task_1")
    sync = TrashEntry.sync

    def make_anew(self: TrashEntry) -> None:
        fill(site.path / "task_1", 4)
        sync(self)

    with monkeypatch.context() as patch:
        patch.setattr(TrashEntry, "sync", make_anew)
        site.engine.delete(request("task_1", retain=retain))
    assert exists(site, "task_1")
    assert len(snapshot(site.path / "task_1")) > 1
    site.engine.delete(request("task_1", retain=retain))
    assert not (site.path / "task_1").exists()
    assert not exists(site, "task_1")


def test_a_restore_that_was_cut_off_is_left_to_recovery(site: Site, processes: ForkServer) -> None:
    site.task("task_1")
    deletion_id = site.engine.delete(request("task_1", retain=timedelta(days=7))).deletion_id
    arguments: dict[str, Any] = {"url": site.store.url, "root": str(site.path), "deletion_id": deletion_id, "step": 2}
    assert processes.run("support.crash:restore", **arguments).killed_by is not None
    before = site.store.task("task_1")
    scan(site)
    assert site.store.task("task_1") == before
    assert dict(site.recovery.run()) == {"undone": 1}
    scan(site)
    assert (exists(site, "task_1"), told(site)) == (False, [])


def test_a_row_that_somebody_has_locked_waits_for_the_next_scan(postgres_site: Site) -> None:
    site = postgres_site
    site.task("task_1", steps=0)
    site.engine.delete(request("task_1"))
    run_again(site, "task_1")
    with site.catalog.write() as session:
        session.connection.exec_driver_sql("SELECT 1 FROM data_pipeline_tasks WHERE task_id = 'task_1' FOR UPDATE")
        scan(site)
    assert (exists(site, "task_1"), told(site)) == (False, ["task_1"])
    scan(site)
    assert (exists(site, "task_1"), told(site)) == (True, [])


def test_a_row_that_the_database_keeps_as_it_is_ends_no_scan(postgres_site: Site) -> None:
    site = postgres_site
    site.task("task_1", steps=0)
    site.engine.delete(request("task_1"))
    run_again(site, "task_1")
    site.store.query(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE UPDATE ON data_pipeline_tasks FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    try:
        with structlog.testing.capture_logs() as events:
            scan(site)
    finally:
        site.store.query("DROP TRIGGER keep ON data_pipeline_tasks; DROP FUNCTION keep")
    assert "rows_not_put_right" in [event["event"] for event in events]
    assert told(site) == ["task_1"]


def test_records_deleted_with_a_directory_that_is_made_anew_leave_an_orphan(site: Site) -> None:
    site.task("task_1")
    site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS))
    fill(site.path / "task_1", 4)
    scan(site)
    assert told(site) == []
    assert drift_list(site.catalog, Drift.ORPHANS, 10).total == 1
