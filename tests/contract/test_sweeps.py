"""Sweeps on both databases: what a policy selects goes, everything else stays, and the report adds up."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog.selection import Verdict
from daemon.deletion.models import Trigger
from daemon.errors import ErrorCode, RootUnavailable, SweepRefused
from daemon.policy.loader import load_policies
from daemon.policy.models import PolicySet
from daemon.storage.locks import exclusive
from daemon.sweep.report import SweepOutcome, SweepReport
from daemon.sweep.sweeper import Sweeper
from support.site import Site

STATUSES = ("pending", "in_progress", "running", "partial_completed", "completed", "failed")
POLICY = """
version: 1
protect:
  - name: golden
    match: {{task_id: {{glob: "golden*"}}}}
policies:
  - name: old
    mode: {mode}
    match: {{all: [{{status: completed}}, {{older_than: 30d}}]}}
    {extra}
    action: {{delete: {delete}}}
"""


def policies(folder: Path, mode: str = "enforce", extra: str = "", delete: str = "directory") -> PolicySet:
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(POLICY.format(mode=mode, extra=extra, delete=delete))
    return load_policies(folder, statuses=STATUSES)


@pytest.fixture
def sweeper(site: Site) -> Sweeper:
    return site.sweeper(workers=2)


def run(sweeper: Sweeper, policies: PolicySet) -> SweepReport:
    return sweeper.sweep(policies, policies.get("old"), Trigger.SWEEP, "policy:old", max_stays=None)


def aged(site: Site, task_id: str, days: float, **columns: Any) -> None:
    with site.catalog.read() as session:
        stamp = session.now.local - timedelta(days=days)
    site.task(task_id, created_at=stamp, completed_at=stamp, **columns)


def names(site: Site) -> set[str]:
    return {path.name for path in site.path.iterdir()} - {".sweepd"}


def test_what_is_selected_goes_and_the_rest_stays_with_a_reason(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    aged(site, "old_2", 31)
    aged(site, "young", 29)
    aged(site, "failed", 40, status="failed")
    aged(site, "busy", 40, status="in_progress")
    aged(site, "golden_1", 40)
    aged(site, "step_runs", 40)
    site.store.add_step("step_runs", "running")
    site.directory("orphan")

    report = run(sweeper, policies(tmp_path / "p"))

    assert report.outcome is SweepOutcome.SUCCESS
    assert {outcome.task_id for outcome in report.deleted} == {"old_1", "old_2"}
    assert [decision.task.task_id for decision in report.plan.goes] == ["old_1", "old_2"], "the oldest first"
    assert names(site) == {"young", "failed", "busy", "golden_1", "step_runs", "orphan"}
    assert report.plan.stay_counts == {Verdict.RUNNING: 2, Verdict.PROTECTED: 1, Verdict.NOT_MATCHED: 2}
    reasons = {decision.task.task_id: decision.reason for decision in report.plan.stays}
    assert reasons["golden_1"] == "protected by golden"
    assert "completed 29d ago, needs: older than 30d by completed" in reasons["young"]
    row = site.store.task("old_1")
    assert row is not None
    assert not row["directory_exists"]
    assert site.metric("sweepd_sweeps_total", policy="old", outcome="success") == 1
    assert site.metric("sweepd_deletions_total", trigger="sweep", outcome="success") == 2
    assert site.store.ledger("old_1")[0]["policy"] == "old"


def test_observe_deletes_nothing_but_makes_the_same_plan(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    report = run(sweeper, policies(tmp_path / "p", mode="observe"))
    assert report.outcome is SweepOutcome.OBSERVED
    assert [decision.task.task_id for decision in report.plan.goes] == ["old_1"]
    assert names(site) == {"old_1"}
    assert site.store.ledger("old_1") == []


def test_a_disabled_policy_does_not_run(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    with pytest.raises(SweepRefused, match="disabled"):
        run(sweeper, policies(tmp_path / "p", mode="disabled"))
    assert names(site) == {"old_1"}


def test_one_task_over_the_limit_stops_before_the_first_deletion(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    for number in range(4):
        aged(site, f"old_{number}", 40 + number)
    report = run(sweeper, policies(tmp_path / "p", extra="limits: {max_tasks: 3}"))
    assert report.outcome is SweepOutcome.BLOCKED
    assert report.error is not None
    assert "4 tasks are selected, limits.max_tasks is 3" in report.error
    assert len(names(site)) == 4
    assert site.metric("sweepd_sweeps_total", policy="old", outcome="blocked") == 1
    assert site.metric("sweepd_policy_last_success_timestamp_seconds", policy="old") == 0


def test_truncate_takes_the_oldest(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    for number in range(4):
        aged(site, f"old_{number}", 40 + number)
    report = run(sweeper, policies(tmp_path / "p", extra="limits: {max_tasks: 3, on_exceed: truncate}"))
    assert report.outcome is SweepOutcome.SUCCESS
    assert report.truncated_to == 3
    assert names(site) == {"old_0"}


def test_the_newest_of_each_group_stay(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    for number in range(3):
        aged(site, f"a_{number}", 40 + number, db_name="a")
        aged(site, f"b_{number}", 50 + number, db_name="b")
    report = run(sweeper, policies(tmp_path / "p", extra="keep: {last: 2, per: [database]}"))
    assert report.outcome is SweepOutcome.SUCCESS
    assert names(site) == {"a_0", "a_1", "b_0", "b_1"}


def test_records_go_with_the_directory_if_the_policy_says_so(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    run(sweeper, policies(tmp_path / "p", delete="directory_and_records"))
    assert names(site) == set()
    assert site.store.task("old_1") is None
    assert site.store.steps("old_1") == []


def test_records_alone_go_only_where_the_directory_has_gone(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    aged(site, "gone", 40)
    aged(site, "there", 40)
    run(sweeper, policies(tmp_path / "p", extra="limits: {max_tasks: 1, on_exceed: truncate}"))
    left = names(site)
    run(sweeper, policies(tmp_path / "p", delete="records"))
    assert names(site) == left
    assert {task for task in ("gone", "there") if site.store.task(task) is not None} == left


def test_a_task_that_restarts_after_the_plan_drops_out(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    for number in range(6):
        aged(site, f"old_{number}", 40 + number)
    restarted = threading.Event()

    def restart(report: SweepReport) -> None:
        if not restarted.is_set():
            restarted.set()
            statement = (
                "UPDATE data_pipeline_tasks SET status = 'in_progress', completed_at = NULL WHERE task_id = 'old_0'"
            )
            site.store.query(statement)

    chosen = policies(tmp_path / "p")
    report = sweeper.sweep(chosen, chosen.get("old"), Trigger.SWEEP, "policy:old", progress=restart)
    assert names(site) == {"old_0"}
    assert [missed.task_id for missed in report.dropped] == ["old_0"]
    assert report.dropped[0].code in (ErrorCode.TASK_RUNNING, ErrorCode.TASK_CHANGED)
    assert report.outcome is SweepOutcome.SUCCESS


def test_a_task_that_changed_after_the_plan_drops_out_although_it_still_matches(
    site: Site, sweeper: Sweeper, tmp_path: Path
) -> None:
    aged(site, "old_1", 40)
    aged(site, "old_2", 41)

    def rewrite(report: SweepReport) -> None:
        if not report.deleted and not report.dropped:
            site.store.query("UPDATE data_pipeline_tasks SET by_user = 'somebody' WHERE task_id = 'old_1'")

    chosen = policies(tmp_path / "p")
    report = sweeper.sweep(chosen, chosen.get("old"), Trigger.SWEEP, "policy:old", progress=rewrite)
    assert names(site) == {"old_1"}
    assert [(missed.task_id, missed.code) for missed in report.dropped] == [("old_1", ErrorCode.TASK_CHANGED)]
    assert "changed since the plan" in report.dropped[0].reason


def test_a_task_that_has_become_one_of_the_newest_since_the_plan_drops_out(
    site: Site, sweeper: Sweeper, tmp_path: Path
) -> None:
    aged(site, "old_1", 50)
    aged(site, "newer", 40)

    def forget(report: SweepReport) -> None:
        site.store.query("UPDATE data_pipeline_tasks SET directory_exists = FALSE WHERE task_id = 'newer'")

    chosen = policies(tmp_path / "p", extra="keep: {last: 1}")
    report = sweeper.sweep(chosen, chosen.get("old"), Trigger.SWEEP, "policy:old", progress=forget)
    assert "old_1" in names(site)
    assert [missed.code for missed in report.dropped] == [ErrorCode.TASK_CHANGED]
    assert "does not select it any more" in report.dropped[0].reason


def test_a_sweep_of_the_same_policy_elsewhere_is_not_joined(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    with exclusive(site.root, "sweep.old") as free, pytest.raises(SweepRefused) as caught:
        assert free
        run(sweeper, policies(tmp_path / "p"))
    assert caught.value.code is ErrorCode.SWEEP_RUNNING
    assert names(site) == {"old_1"}


def test_a_lost_root_stops_the_sweep_and_no_row_changes(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    for number in range(5):
        aged(site, f"old_{number}", 40 + number)

    def lose(report: SweepReport) -> None:
        if site.path.exists():
            site.path.rename(tmp_path / "elsewhere")

    chosen = policies(tmp_path / "p")
    report = sweeper.sweep(chosen, chosen.get("old"), Trigger.SWEEP, "policy:old", progress=lose)
    assert report.outcome is SweepOutcome.FAILED
    assert report.deleted == []
    assert report.not_attempted >= 5 - 2
    rows = [site.store.task(f"old_{number}") for number in range(5)]
    assert all(row is not None and row["directory_exists"] for row in rows)
    with pytest.raises(RootUnavailable):
        run(sweeper, chosen)


def test_stopping_leaves_the_rest_for_the_next_sweep(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    for number in range(8):
        aged(site, f"old_{number}", 40 + number)
    chosen = policies(tmp_path / "p")
    report = sweeper.sweep(chosen, chosen.get("old"), Trigger.SWEEP, "policy:old", progress=lambda _: sweeper.stop())
    assert report.outcome is SweepOutcome.STOPPED
    assert len(report.deleted) + report.not_attempted == 8
    assert len(names(site)) == report.not_attempted > 0


def test_a_sweep_that_ends_with_an_error_nobody_expected_is_counted_as_failed(
    site: Site, sweeper: Sweeper, tmp_path: Path
) -> None:
    def fail(report: SweepReport) -> None:
        raise ValueError("year -44 is out of range")

    aged(site, "old_1", 40)
    chosen = policies(tmp_path / "p")
    with pytest.raises(ValueError, match="year -44"):
        sweeper.sweep(chosen, chosen.get("old"), Trigger.SWEEP, "policy:old", progress=fail)
    assert site.metric("sweepd_sweeps_total", policy="old", outcome="failed") == 1
    assert site.metric("sweepd_policy_last_outcome", policy="old", outcome="failed") == 1
