"""Directories without a row: only what scans have seen goes, and only while nothing speaks against it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.catalog.catalog import Session
from daemon.catalog.rows import TaskRow
from daemon.clock import now
from daemon.deletion.models import Trigger
from daemon.errors import ErrorCode, SweepRefused, TaskRefused
from daemon.policy.models import Action, PolicySet
from daemon.sweep import stored
from daemon.sweep.plan import make_plan
from daemon.sweep.report import Progress, SweepOutcome, SweepReport
from support.inventories import scan, scanned
from support.judging import policy_set
from support.scanning import make_scanner
from support.site import Site, request
from support.trees import snapshot

HOUR = timedelta(hours=1)


def policies(**options: Any) -> PolicySet:
    condition = {"older_than": {"age": "3d", "by": "first_seen"}}
    return policy_set(condition, **{"mode": "enforce", "source": "orphans", **options})


def sweep(site: Site, policies: PolicySet, progress: Progress | None = None) -> SweepReport:
    return site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test", progress=progress)


def orphans(site: Site, number: int) -> list[str]:
    names = [f"orphan_{index:02}" for index in range(number)]
    for name in names:
        site.directory(name)
    return names


def names(site: Site) -> list[str]:
    return sorted(path.name for path in site.path.iterdir() if path.name != ".sweepd")


@pytest.fixture
def ordinary(site: Site) -> list[str]:
    """A site with tasks, of which the last scan was an hour ago, and orphans that it has met."""
    tasks = [f"task_{index}" for index in range(4)]
    for name in tasks:
        site.task(name, steps=0)
    made = orphans(site, 3)
    scanned(site, *tasks, *made, ago=HOUR)
    scan(site, directories=7, orphans=3, ago=7 * HOUR)
    scan(site, directories=7, orphans=3, ago=HOUR)
    return made


def test_orphans_go_and_tasks_stay(site: Site, ordinary: list[str]) -> None:
    site.directory("never_scanned")
    site.directory("met_once")
    scanned(site, "met_once", orphan_sightings=1)
    report = sweep(site, policies())
    assert (report.outcome, sorted(o.task_id for o in report.deleted)) == (SweepOutcome.SUCCESS, ordinary)
    assert names(site) == ["met_once", "never_scanned", "task_0", "task_1", "task_2", "task_3"]
    (entry,) = site.store.ledger(ordinary[0])
    assert (entry["state"], bool(entry["records_deleted"]), entry["policy"]) == ("purged", False, "policy")
    again = sweep(site, policies())
    assert (again.plan.considered, again.deleted) == (0, []), "the inventory forgets what has gone"


def test_orphans_wait_in_the_trash_and_come_back(site: Site, ordinary: list[str]) -> None:
    waiting = Action.model_validate({"trash": {"retain": "14d"}})
    report = sweep(site, PolicySet(policies=(policies().policies[0].model_copy(update={"action": waiting}),)))
    assert len(report.deleted) == 3
    assert report.deleted[0].deletion_id is not None
    site.restorer.restore(report.deleted[0].deletion_id, "test")
    assert report.deleted[0].task_id in names(site)


def test_a_row_that_comes_after_the_plan_keeps_its_directory(site: Site, ordinary: list[str]) -> None:
    def adopt(report: SweepReport) -> None:
        if site.store.task(ordinary[1]) is None:
            site.store.add_task(ordinary[1], status="completed")

    report = sweep(site, policies(), adopt)
    assert [missed.task_id for missed in report.dropped] == [ordinary[1]]
    assert "it has a row now" in report.dropped[0].reason
    assert ordinary[1] in names(site)
    assert len(report.deleted) == 2


def test_a_row_that_comes_while_its_directory_is_being_moved_gets_it_back(postgres_site: Site) -> None:
    """On SQLite nobody can add a row while a claim holds the database."""
    site = postgres_site
    before = site.directory("orphan_00")
    scanned(site, "orphan_00")

    def arrive(_session: Session, rows: Sequence[TaskRow]) -> dict[str, str]:
        site.store.add_task(rows[0].task_id, status="completed")
        return {}

    with pytest.raises(TaskRefused, match="it has a row now"):
        site.engine.delete(request("orphan_00", orphan=True, guard=arrive))
    assert snapshot(site.path / "orphan_00") == before.tree
    assert (site.entries(), site.store.ledger("orphan_00")) == ([], [])


@pytest.mark.parametrize("change", ["replaced", "written"])
def test_a_directory_that_is_not_what_the_scan_saw_stays(site: Site, ordinary: list[str], change: str) -> None:
    path = site.path / ordinary[1]
    if change == "replaced":
        path.rename(site.path / "moved")
        shutil.copytree(site.path / "moved", path)
        shutil.rmtree(site.path / "moved")
    else:
        (path / "new").touch()
    report = sweep(site, policies())
    assert [missed.task_id for missed in report.dropped] == [ordinary[1]]
    assert "is not what the last scan saw" in report.dropped[0].reason
    assert ordinary[1] in names(site)


def test_a_reviewed_plan_takes_the_very_directories_that_were_reviewed(site: Site, ordinary: list[str]) -> None:
    """A later scan has seen the other one of the same name, and would let it go."""
    chosen = policies()
    plan = make_plan(site.catalog, chosen, chosen.policies[0])
    digest = stored.save(site.catalog, plan, "test")
    replaced = site.path / ordinary[1]
    shutil.rmtree(replaced)
    replaced.mkdir()
    (replaced / "precious").write_text("another one")
    site.store.query("DELETE FROM sweepd_inventory WHERE task_id = ?", [ordinary[1]])
    scanned(site, ordinary[1])
    assert make_plan(site.catalog, chosen, chosen.policies[0]).digest != digest

    loaded = stored.load(site.catalog, chosen.policies[0], digest)
    assert loaded.digest == digest
    report = site.sweeper().sweep(chosen, chosen.policies[0], Trigger.CLI, "test", plan=loaded)
    assert [outcome.task_id for outcome in report.deleted] == [ordinary[0], ordinary[2]]
    assert [missed.task_id for missed in report.dropped] == [ordinary[1]]
    assert "it has changed since the plan" in report.dropped[0].reason
    assert (replaced / "precious").exists()


def test_a_protected_or_held_orphan_stays(site: Site, ordinary: list[str]) -> None:
    guarded = policies(protect=[{"task_id": {"glob": "*_01"}}])
    stamp = "2026-01-01 00:00:00" if site.store.sqlite else "2026-01-01 00:00:00+00"
    statement = "INSERT INTO sweepd_holds (hold_id, pattern, owner, reason, placed_at) VALUES (?, ?, ?, ?, ?)"

    def hold(report: SweepReport) -> None:
        if not site.store.query("SELECT 1 FROM sweepd_holds"):
            site.store.query(statement, ["h", "*_02", "alice", "evidence", stamp])

    report = sweep(site, guarded, hold)
    assert [outcome.task_id for outcome in report.deleted] == [ordinary[0]]
    assert [missed.task_id for missed in report.dropped] == [ordinary[2]], "held after the plan"


@pytest.mark.parametrize(("ago", "says"), [(None, "no scan"), (timedelta(hours=49), "is 2d1h")])
def test_old_scans_are_no_ground_to_delete_on(site: Site, ago: timedelta | None, says: str) -> None:
    site.task("task_1")
    made = orphans(site, 2)
    scanned(site, "task_1", *made)
    if ago is not None:
        scan(site, directories=3, orphans=2, ago=ago)
    report = sweep(site, policies())
    assert (report.outcome, report.limits) == (SweepOutcome.BLOCKED, ["scan_age"])
    assert says in str(report.error)
    assert names(site) == [*made, "task_1"]


def test_a_jump_of_their_share_stops_them_until_somebody_has_looked(site: Site) -> None:
    site.task("task_1")
    made = orphans(site, 25)
    scanned(site, "task_1", *made)
    scan(site, directories=26, orphans=10, ago=9 * HOUR)
    scan(site, directories=26, orphans=25, ago=HOUR)
    for _ in range(2):
        report = sweep(site, policies(limits={"max_tasks": 100, "on_exceed": "truncate"}))
        assert (report.outcome, report.limits, report.deleted) == (SweepOutcome.BLOCKED, ["orphan_share"], [])
        assert "25 of 26 directories have no row, 10 had none before" in str(report.error)
    assert site.metric("sweepd_sweeps_blocked_total", policy="policy", limit="orphan_share") == 2
    assert sweep(site, policies(mode="observe")).outcome is SweepOutcome.OBSERVED
    assert len(sweep(site, policies()).deleted) == 25, "an observing sweep has shown them to somebody"


def test_twice_as_many_is_no_jump(site: Site) -> None:
    site.task("task_1")
    made = orphans(site, 24)
    scanned(site, "task_1", *made)
    scan(site, directories=26, orphans=12, ago=9 * HOUR)
    scan(site, directories=26, orphans=25, ago=HOUR)
    assert len(sweep(site, policies()).deleted) == 24


def test_an_emptied_tasks_table_makes_no_orphans(site: Site) -> None:
    for index in range(3):
        site.task(f"task_{index}")
    scanned(site, "task_0", "task_1", "task_2")
    for _ in range(2):
        scan(site, directories=3, orphans=0)
    site.store.query("DELETE FROM data_pipeline_task_steps")
    site.store.query("DELETE FROM data_pipeline_tasks")
    with pytest.raises(SweepRefused) as caught:
        sweep(site, policies())
    assert caught.value.code is ErrorCode.CATALOG_EMPTY
    assert names(site) == ["task_0", "task_1", "task_2"]


def test_a_root_that_has_lost_every_directory_stops_what_deletes_them(site: Site) -> None:
    """Another, empty one was adopted, or somebody has removed everything: that is no success of a policy."""
    for index in range(10):
        site.task(f"task_{index}", steps=0, created_at="2024-01-01 00:00:00", completed_at="2024-01-01 00:00:00")
        shutil.rmtree(site.path / f"task_{index}")
    chosen = policy_set({"older_than": "30d"}, mode="enforce")
    with pytest.raises(SweepRefused, match="10 tasks have their directory there by their rows") as caught:
        sweep(site, chosen)
    assert caught.value.code is ErrorCode.ROOT_UNAVAILABLE
    [told] = site.store.query("SELECT count(*) AS number FROM data_pipeline_tasks WHERE NOT directory_exists")
    assert told["number"] == 0
    site.engine.delete(request("task_0"))
    assert len(sweep(site, chosen).deleted) == 9, "few are nothing odd"


def test_a_table_that_has_lost_most_of_its_rows_stops_every_policy(site: Site) -> None:
    for index in range(10):
        site.task(f"task_{index}", steps=0, created_at="2024-01-01 00:00:00", completed_at="2024-01-01 00:00:00")
    chosen = policy_set({"older_than": "30d"}, mode="enforce", limits={"max_tasks": 1, "on_exceed": "truncate"})
    assert len(sweep(site, chosen).deleted) == 1
    site.store.query("DELETE FROM data_pipeline_tasks WHERE task_id NOT IN ('task_1', 'task_2', 'task_3', 'task_4')")
    with pytest.raises(SweepRefused, match="has 4 rows, at least 10 were there at the last sweep") as caught:
        sweep(site, chosen)
    assert caught.value.code is ErrorCode.CATALOG_EMPTY
    assert site.metric("sweepd_sweeps_total", policy="policy", outcome="refused") == 1
    observing = policy_set({"older_than": "30d"}, mode="observe")
    assert sweep(site, observing).outcome is SweepOutcome.OBSERVED
    assert len(sweep(site, chosen).deleted) == 1, "somebody has seen that so few are right"


@pytest.mark.parametrize("ahead", [-20, 0, 20])
def test_the_rows_sweepd_deleted_itself_are_not_missed(site: Site, monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    """Though this machine's clock and the database's are some seconds apart."""
    monkeypatch.setattr("daemon.clock.now", lambda: now() + timedelta(seconds=ahead))
    for index in range(10):
        site.task(f"task_{index}", steps=0, created_at="2024-01-01 00:00:00", completed_at="2024-01-01 00:00:00")
    other = policy_set({"status": "completed"}, mode="observe")
    assert sweep(site, other).plan.considered == 10
    forgetting = policy_set(
        {"task_id": {"glob": "task_?"}},
        mode="enforce",
        delete="directory_and_records",
        limits={"max_tasks": 8, "on_exceed": "truncate"},
    )
    renamed = PolicySet(policies=(forgetting.policies[0].model_copy(update={"name": "forget"}),))
    assert len(sweep(site, renamed).deleted) == 8
    assert len(sweep(site, policy_set({"status": "completed"}, mode="enforce")).deleted) == 2


def test_what_real_scans_met_twice_goes_and_what_changed_since_stays(site: Site) -> None:
    site.task("task_1", steps=0)
    orphans(site, 2)
    eager = policy_set({"task_id": {"glob": "orphan*"}}, mode="enforce", source="orphans")
    for sightings in (1, 2):
        assert sweep(site, eager).plan.considered == 0, f"met {sightings - 1} times"
        assert make_scanner(site).scan() is not None
    (site.path / "orphan_01" / "late").touch()
    report = sweep(site, eager)
    assert [outcome.task_id for outcome in report.deleted] == ["orphan_00"]
    assert [(missed.task_id, missed.code) for missed in report.dropped] == [("orphan_01", ErrorCode.TASK_CHANGED)]
    assert names(site) == ["orphan_01", "task_1"]


def aged(site: Site, *columns: str) -> None:
    """As if it had been thirty days ago."""
    long_ago = datetime.now(UTC) - timedelta(days=30)
    for column in columns:
        stamp = long_ago.replace(tzinfo=None) if site.store.sqlite else long_ago
        site.store.query(f"UPDATE sweepd_inventory SET {column} = ? WHERE {column} IS NOT NULL", [stamp])


def test_a_directory_is_an_orphan_only_since_its_row_is_gone(site: Site) -> None:
    """However long scans have met it with its row: the row may be missing by mistake, and come back."""
    site.task("task_0", steps=0)
    site.task("task_1", steps=0)
    for _ in range(3):
        make_scanner(site).scan()
    aged(site, "first_seen_at")
    site.store.query("DELETE FROM data_pipeline_tasks WHERE task_id = 'task_1'")
    old, any_age = policies(), policy_set({"task_id": {"glob": "task*"}}, mode="enforce", source="orphans")
    for _ in range(2):
        assert sweep(site, any_age).plan.considered == 0
        make_scanner(site).scan()
    assert (sweep(site, old).plan.considered, sweep(site, old).deleted) == (1, [])
    site.store.add_task("task_1", status="completed")
    make_scanner(site).scan()
    site.store.query("DELETE FROM data_pipeline_tasks WHERE task_id = 'task_1'")
    make_scanner(site).scan()
    assert sweep(site, any_age).plan.considered == 0, "its row came back in between"
    make_scanner(site).scan()
    aged(site, "orphan_since")
    assert [outcome.task_id for outcome in sweep(site, old).deleted] == ["task_1"]


def test_another_directory_of_the_same_name_is_as_old_as_its_own_first_scan(site: Site) -> None:
    site.task("task_1", steps=0)
    orphans(site, 1)
    for _ in range(3):
        make_scanner(site).scan()
    aged(site, "first_seen_at", "orphan_since")
    (site.path / "orphan_00").rename(site.path.with_name("elsewhere"))
    site.directory("orphan_00")
    make_scanner(site).scan()
    assert sweep(site, policies()).plan.considered == 0
    make_scanner(site).scan()
    assert (sweep(site, policies()).plan.considered, sweep(site, policies()).deleted) == (1, [])
