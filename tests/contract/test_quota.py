"""Quotas on both databases: from high to low, the oldest first, and no further than one task past the mark."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.deletion.models import Trigger, What
from daemon.policy.models import PolicySet
from daemon.sweep.report import SweepOutcome, SweepReport
from support.inventories import scan, scanned, swept
from support.judging import policy_set
from support.processes import ForkServer
from support.site import Site, request
from support.stores import Store
from support.trees import count

BLOCK = 4096


def policies(of: str, high: str | int, low: str | int, **options: Any) -> PolicySet:
    quota = {"of": of, "high": high, "low": low, **options.pop("quota", {})}
    return policy_set({"status": "completed"}, **{"mode": "enforce", "quota": quota, **options})


def sweep(site: Site, policies: PolicySet) -> SweepReport:
    if not site.store.query("SELECT 1 FROM sweepd_scans"):
        scan(site, directories=0, orphans=0)
    return site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")


def task(site: Site, name: str, hour: int, blocks: int = 10, **columns: Any) -> str:
    """A task of so many blocks of 4 KiB that completed at that hour."""
    stamp = f"2024-01-01 {hour:02}:00:00"
    site.store.add_task(name, **{"status": "completed", "created_at": stamp, "completed_at": stamp, **columns})
    (site.path / name).mkdir()
    (site.path / name / "file").write_bytes(b"x" * BLOCK * blocks)
    return name


def names(site: Site) -> list[str]:
    return sorted(path.name for path in site.path.iterdir() if path.name != ".sweepd")


@pytest.mark.parametrize("measured", [True, False], ids=["scanned", "not scanned"])
def test_a_full_file_system_is_brought_down_to_the_mark(
    store: Store, processes: ForkServer, tmp_path: Path, measured: bool
) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    arguments = {"folder": str(tmp_path), "url": store.url, "measured": measured}
    said = processes.run("support.mounts:bring_down_to_mark", **arguments).value
    assert said["before"] >= 0.9
    assert 0.68 < said["after"] <= 0.70, said
    assert (said["outcome"], said["error"]) == ("success", None)
    assert said["gone"] > 10
    assert said["left"] > 10
    assert said["oldest_first"], "running and held tasks stay, whatever their age"
    assert said["journal"]
    assert said["again"] == ["success", 0], "below the high mark there is nothing to do"
    assert said["used"] == pytest.approx(said["after"])


def test_the_root_ends_one_task_past_the_mark_at_most(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(10)]
    scanned(site, *made)
    below = sweep(site, policies("root", f"{BLOCK * 101}B", f"{BLOCK * 50}B"))
    assert (below.outcome, below.selected, len(below.quota)) == (SweepOutcome.SUCCESS, 0, 1)
    report = sweep(site, policies("root", f"{BLOCK * 100}B", f"{BLOCK * 65}B"))
    assert (report.outcome, report.selected, report.error) == (SweepOutcome.SUCCESS, 4, None)
    assert names(site) == made[4:]
    (result,) = report.quota
    assert (result.used_before, result.used) == (BLOCK * 100, BLOCK * 60)


def test_what_no_scan_has_counted_is_not_deleted_for_a_sum_it_is_no_part_of(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(6)]
    scanned(site, *made[2:])
    report = sweep(site, policies("root", f"{BLOCK * 30}B", f"{BLOCK * 15}B"))
    assert (report.outcome, names(site)) == (SweepOutcome.SUCCESS, [*made[:2], made[5]])


@pytest.mark.parametrize("of", ["user", "database"])
def test_each_user_or_database_for_itself(site: Site, of: str) -> None:
    column = {"user": "by_user", "database": "db_name"}[of]
    made = [
        task(site, f"{who}_{hour}", hour, 10, **{column: who})
        for who, number in (("alice", 5), ("bob", 3), ("carol", 6))
        for hour in range(number)
    ]
    made.append(task(site, "nobody", 0, blocks=500))
    scanned(site, *made)
    report = sweep(site, policies(of, f"{BLOCK * 40}B", f"{BLOCK * 20}B"))
    assert report.outcome is SweepOutcome.SUCCESS
    left = ["alice_3", "alice_4", "bob_0", "bob_1", "bob_2", "carol_4", "carol_5", "nobody"]
    assert names(site) == left
    assert {result.group for result in report.quota} == {"alice", "carol"}


def test_inodes_are_counted_as_well(site: Site) -> None:
    made = [f"task_{hour}" for hour in range(4)]
    for hour, name in enumerate(made):
        site.task(name, files=50, completed_at=f"2024-01-01 0{hour}:00:00")
    scanned(site, *made)
    report = sweep(site, policies("root", 200, 120, quota={"measure": "inodes"}))
    assert (report.outcome, names(site)) == (SweepOutcome.SUCCESS, made[2:])


def test_directories_are_inodes_too_in_what_is_expected(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(6)]
    for name in made:
        for number in range(50):
            (site.path / name / f"folder_{number}").mkdir()
    scanned(site, *made)
    files, directories, _, _ = count(site.path / made[0])
    per_task = files + directories
    high, low = 6 * per_task, 6 * per_task - 60
    quota = {"measure": "inodes"}
    observed = sweep(site, policies("root", high, low, mode="observe", quota=quota))
    report = sweep(site, policies("root", high, low, quota=quota))
    assert (observed.selected, report.selected, names(site)) == (2, 2, made[2:])
    stuck = sweep(site, policies("root", 200, per_task, quota=quota, keep={"last": 3}))
    assert f"{3 * per_task} inodes kept as the newest (3 tasks)" in str(stuck.error)


def test_the_order_is_the_policys(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour, blocks=10 + hour % 3) for hour in range(6)]
    scanned(site, *made)
    report = sweep(site, policies("root", f"{BLOCK * 60}B", f"{BLOCK * 45}B", order=["largest", "newest"]))
    assert report.outcome is SweepOutcome.SUCCESS
    assert names(site) == ["task_0", "task_1", "task_3", "task_4"]


@pytest.mark.parametrize(("low", "left"), [(95, 2), (85, 1), (50, 0)])
def test_the_trash_goes_first_the_oldest_of_it(site: Site, low: int, left: int) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(10)]
    for name in made[7:]:
        site.engine.delete(request(name, What.DIRECTORY, retain=timedelta(days=9)))
    scanned(site, *made[:7])
    high, mark = f"{BLOCK * 100}B", f"{BLOCK * low}B"
    observed = sweep(site, policies("root", high, mark, mode="observe"))
    assert (observed.outcome, observed.selected) == (SweepOutcome.OBSERVED, 2 if left == 0 else 0)
    report = sweep(site, policies("root", high, mark))
    assert report.outcome is SweepOutcome.SUCCESS
    assert len(site.retention.waiting()) == left
    assert [record.entry.task_id for record in site.retention.waiting()] == made[10 - left :]
    assert names(site) == (made[2:7] if left == 0 else made[:7])


@pytest.mark.parametrize("of", ["root", "user"])
def test_what_somebody_has_removed_since_the_scan_costs_no_other_task(site: Site, of: str) -> None:
    made = [task(site, f"task_{hour}", hour, by_user="ann") for hour in range(10)]
    scanned(site, *made)
    for name in made[:6]:
        shutil.rmtree(site.path / name)
    report = sweep(site, policies(of, f"{BLOCK * 80}B", f"{BLOCK * 70}B"))
    assert report.outcome is SweepOutcome.SUCCESS
    assert {outcome.directory_deleted for outcome in report.deleted} == {False}
    assert names(site) == made[6:]


@pytest.mark.parametrize("of", ["root", "user"])
def test_sums_of_a_scan_that_is_too_old_are_no_ground_to_delete_on(site: Site, of: str) -> None:
    made = [task(site, f"task_{hour}", hour, by_user="ann") for hour in range(10)]
    site.engine.delete(request("task_9", What.DIRECTORY, retain=timedelta(days=9)))
    scanned(site, *made[:9])
    scan(site, directories=9, orphans=0, ago=timedelta(hours=49))
    wanted = policies(of, f"{BLOCK * 80}B", f"{BLOCK * 70}B")
    report = sweep(site, wanted)
    assert (report.outcome, report.limits) == (SweepOutcome.BLOCKED, ["scan_age"])
    assert "2d1h old, at most 2d are believed" in str(report.error)
    assert len(site.retention.waiting()) == 1
    assert names(site) == made[:9]
    scan(site, directories=9, orphans=0)
    assert sweep(site, wanted).outcome is SweepOutcome.SUCCESS


@pytest.mark.parametrize("of", ["root", "user"])
def test_a_trash_entry_that_is_held_or_frees_nothing_makes_no_task_go_instead(site: Site, of: str) -> None:
    made = [task(site, f"task_{hour}", hour, by_user="alice", blocks=0 if hour == 1 else 10) for hour in range(6)]
    for name in made[:3]:
        site.engine.delete(request(name, What.DIRECTORY, retain=timedelta(days=9)))
    scanned(site, *made[3:])
    site.hold("task_0")
    high, low = f"{BLOCK * 50}B", f"{BLOCK * 40}B"
    observed = sweep(site, policies(of, high, low, mode="observe"))
    assert (observed.outcome, observed.selected) == (SweepOutcome.OBSERVED, 0)
    report = sweep(site, policies(of, high, low))
    assert (report.outcome, report.deleted, names(site)) == (SweepOutcome.SUCCESS, [], made[3:])
    assert [record.entry.task_id for record in site.retention.waiting()] == ["task_0"]
    low = f"{BLOCK * 30}B"
    observed = sweep(site, policies(of, f"{BLOCK * 40}B", low, mode="observe"))
    assert [decision.task.task_id for decision in observed.chosen] == ["task_3"], "what is held cannot make room"
    assert [one.task_id for one in sweep(site, policies(of, f"{BLOCK * 40}B", low)).deleted] == ["task_3"]


def test_only_the_trash_of_the_user_who_has_too_much_goes(site: Site) -> None:
    made = [task(site, f"{who}_{hour}", hour, by_user=who) for who in ("alice", "bob") for hour in range(3)]
    for name in ("bob_0", "alice_0"):
        site.engine.delete(request(name, What.DIRECTORY, retain=timedelta(days=9)))
    task(site, "alice_3", 3, by_user="alice")
    scanned(site, "alice_1", "alice_2", "alice_3", "bob_1", "bob_2")
    report = sweep(site, policies("user", f"{BLOCK * 40}B", f"{BLOCK * 30}B"))
    assert (report.outcome, report.deleted) == (SweepOutcome.SUCCESS, [])
    assert [record.entry.task_id for record in site.retention.waiting()] == ["bob_0"]
    assert len(made) == 6


@pytest.mark.parametrize("of", ["user", "database"])
def test_trash_that_went_with_its_records_counts_as_its_users(site: Site, of: str) -> None:
    column = {"user": "by_user", "database": "db_name"}[of]
    made = [task(site, f"{who}_{hour}", hour, 10, **{column: who}) for who in ("alice", "bob") for hour in range(3)]
    for name in ("bob_0", "alice_0", "alice_1"):
        site.engine.delete(request(name, What.DIRECTORY_AND_RECORDS, retain=timedelta(days=9)))
    site.store.add_task("alice_0", status="pending", **{column: "bob"})
    scanned(site, "alice_2", "bob_1", "bob_2")
    site.hold("alice_1")
    observed = sweep(site, policies(of, f"{BLOCK * 30}B", f"{BLOCK * 20}B", mode="observe"))
    assert {result.group: result.used for result in observed.quota} == dict.fromkeys(("alice", "bob"), BLOCK * 30)
    assert observed.selected == 0
    report = sweep(site, policies(of, f"{BLOCK * 30}B", f"{BLOCK * 20}B"))
    assert (report.outcome, report.deleted) == (SweepOutcome.SUCCESS, [])
    assert [record.entry.task_id for record in site.retention.waiting()] == ["alice_1"]
    assert len(made) == 6


def test_a_mark_that_cannot_be_reached_says_what_stays(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(6)]
    task(site, "runs", 1, status="in_progress", blocks=20)
    task(site, "failed", 1, status="failed", blocks=5)
    scanned(site, *made, "runs", "failed")
    report = sweep(site, policies("root", f"{BLOCK * 80}B", f"{BLOCK * 20}B", keep={"last": 2}))
    assert report.outcome is SweepOutcome.PARTIAL
    assert names(site) == ["failed", "runs", "task_4", "task_5"]
    assert report.error == (
        "the low mark 81.9 KB was not reached, 184.3 KB are in use: 81.9 KB kept as the newest (2 tasks); "
        "81.9 KB running (1 task); 20.5 KB not matched (1 task)"
    )
    assert report.quota[0].shortfall == report.error


def test_limits_hold_for_quotas_too(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(10)]
    scanned(site, *made)
    marks = (f"{BLOCK * 100}B", f"{BLOCK * 50}B")
    report = sweep(site, policies("root", *marks, limits={"max_tasks": 4}))
    assert (report.outcome, report.selected, names(site)) == (SweepOutcome.BLOCKED, 5, made)
    report = sweep(site, policies("root", *marks, limits={"max_tasks": 4, "on_exceed": "truncate"}))
    assert (report.outcome, names(site)) == (SweepOutcome.PARTIAL, made[4:])
    assert "max_tasks stopped the sweep" in str(report.error)
    assert sweep(site, policies("root", f"{BLOCK * 60}B", *marks[1:], limits={"max_tasks": 4})).outcome == "success"
    assert names(site) == made[5:], "what is not needed is not counted"


def test_sweeps_below_the_mark_do_not_make_it_unusual_to_make_room(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(10)]
    scanned(site, *made)
    limits = {"max_times_usual": 2}
    below = policies("root", f"{BLOCK * 102}B", f"{BLOCK * 50}B", limits=limits)
    for _ in range(12):
        assert sweep(site, below).selected == 0
    full = policies("root", f"{BLOCK * 100}B", f"{BLOCK * 50}B", limits=limits)
    for _ in range(3):
        swept(site, "policy", considered=10, selected=2)
    report = sweep(site, full)
    assert (report.outcome, report.limits, report.selected) == (SweepOutcome.BLOCKED, ["max_times_usual"], 5)
    for _ in range(4):
        swept(site, "policy", considered=10, selected=3)
    assert (sweep(site, full).outcome, names(site)) == (SweepOutcome.SUCCESS, made[5:])


def test_a_sweep_that_is_truncated_ends_with_the_first_task_that_does_not_fit(site: Site) -> None:
    sizes = (1, 100, 1, 1, 1, 1, 1, 1)
    made = [task(site, f"task_{hour}", hour, blocks=blocks, by_user="alice") for hour, blocks in enumerate(sizes)]
    made += [task(site, f"other_{hour}", hour, blocks=10, by_user="bob") for hour in range(4)]
    scanned(site, *made)
    limits = {"max_bytes": f"{BLOCK * 10}B", "on_exceed": "truncate"}
    report = sweep(site, policies("user", f"{BLOCK * 40}B", f"{BLOCK * 2}B", limits=limits))
    assert (report.outcome, report.limits) == (SweepOutcome.PARTIAL, ["max_bytes"])
    assert [outcome.task_id for outcome in report.deleted] == ["task_0"]
    assert report.truncated_to == 1
    assert all("max_bytes stopped the sweep" in str(result.shortfall) for result in report.quota)


def test_a_sweep_is_not_truncated_by_what_a_scan_once_counted(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(4)]
    scanned(site, *made)
    (site.path / "task_1" / "file").write_bytes(b"x" * BLOCK)
    limits = {"max_bytes": f"{BLOCK * 15}B", "on_exceed": "truncate"}
    report = sweep(site, policies("root", f"{BLOCK * 40}B", f"{BLOCK * 25}B", limits=limits))
    assert (report.outcome, report.limits, report.truncated_to) == (SweepOutcome.SUCCESS, [], None)
    assert names(site) == made[2:]


def test_observing_shows_what_would_go(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(10)]
    scanned(site, *made)
    report = sweep(site, policies("root", f"{BLOCK * 100}B", f"{BLOCK * 65}B", mode="observe"))
    assert (report.outcome, names(site)) == (SweepOutcome.OBSERVED, made)
    assert [decision.task.task_id for decision in report.chosen] == made[:4]
    assert site.metric("sweepd_quota_used", policy="policy") == BLOCK * 100
    assert site.metric("sweepd_quota_high", policy="policy") == BLOCK * 100
    assert site.metric("sweepd_quota_low", policy="policy") == BLOCK * 65


def test_a_task_that_cannot_go_is_passed_over_from_the_second_sweep_on(site: Site) -> None:
    made = [task(site, f"task_{hour}", hour) for hour in range(10)]
    scanned(site, *made)
    (site.path / "task_0").rename(site.path / "was-task_0")
    (site.path / "task_0").symlink_to(site.path / "was-task_0")
    chosen = policies("root", f"{BLOCK * 100}B", f"{BLOCK * 65}B")
    first = sweep(site, chosen)
    assert (first.outcome, [one.task_id for one in first.failed]) == (SweepOutcome.PARTIAL, ["task_0"])
    assert [one.task_id for one in first.deleted] == made[1:5]
    for round_ in (1, 2):
        more = [task(site, f"more_{round_}{hour}", 12 + hour) for hour in range(4)]
        scanned(site, *more)
        if round_ == 2:
            site.store.query("UPDATE sweepd_task_failures SET next_at = last_at")  # it may be tried again
        report = sweep(site, chosen)
        assert (report.outcome, len(report.deleted), report.failed) == (SweepOutcome.SUCCESS, 4, [])
        assert report.failed_again == [], "behind the others: there was no need to try"
    assert site.metric("sweepd_policy_suspended", policy="policy") == 0
