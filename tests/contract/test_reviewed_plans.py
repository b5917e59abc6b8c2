"""A plan is saved, reviewed and applied: exactly what was reviewed goes, and what has changed since drops out."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon import clock
from daemon.catalog.clock_guard import ClockGuard
from daemon.deletion.models import Trigger
from daemon.errors import ErrorCode, SweepRefused
from daemon.policy.loader import load_policies
from daemon.policy.models import PolicySet
from daemon.sweep import stored
from daemon.sweep.plan import Plan, make_plan
from daemon.sweep.report import SweepOutcome, SweepReport
from daemon.sweep.sweeper import Sweeper
from support.inventories import scanned
from support.judging import policy_set
from support.site import Site

STATUSES = ("pending", "in_progress", "running", "partial_completed", "completed", "failed")
POLICY = """
version: 1
protect:
  - name: golden
    match: {{task_id: {{glob: [{protected}]}}}}
policies:
  - name: old
    mode: {mode}
    {extra}
    match: {{all: [{{status: completed}}, {{older_than: {age}}}]}}
    action: {{delete: directory}}
  - name: other
    mode: enforce
    match: {{status: failed}}
    action: {{delete: directory}}
"""


def policies(
    folder: Path, *, mode: str = "enforce", extra: str = "", age: str = "30d", protected: str = "golden*"
) -> PolicySet:
    folder.mkdir(exist_ok=True)
    text = POLICY.format(mode=mode, extra=extra, age=age, protected=protected)
    (folder / "p.yaml").write_text(text, encoding="utf-8")
    return load_policies(folder, statuses=STATUSES)


@pytest.fixture
def sweeper(site: Site) -> Sweeper:
    return site.sweeper(ClockGuard(site.catalog), workers=2)


def aged(site: Site, task_id: str, days: float, **columns: Any) -> None:
    with site.catalog.read() as session:
        stamp = session.now.local - timedelta(days=days)
    site.task(task_id, steps=1, files=1, created_at=stamp, completed_at=stamp, **columns)


def plan_of(site: Site, chosen: PolicySet, name: str = "old") -> Plan:
    return make_plan(site.catalog, chosen, chosen.get(name))


def save(site: Site, chosen: PolicySet) -> str:
    return stored.save(site.catalog, plan_of(site, chosen), "cli:somebody")


def apply(site: Site, sweeper: Sweeper, chosen: PolicySet, digest: str) -> SweepReport:
    policy = chosen.get("old")
    plan = stored.load(site.catalog, policy, digest)
    return sweeper.sweep(chosen, policy, Trigger.CLI, "cli:somebody", plan=plan)


def names(site: Site) -> set[str]:
    return {path.name for path in site.path.iterdir()} - {".sweepd"}


def hold(site: Site, pattern: str) -> None:
    site.store.query(
        "INSERT INTO sweepd_holds (hold_id, pattern, owner, reason, placed_at) VALUES (?, ?, ?, ?, ?)",
        [f"hold-{pattern}", pattern, "alice", "audit", clock.now().replace(tzinfo=None)],
    )


def test_of_a_hundred_reviewed_tasks_ten_change_and_exactly_ninety_go(
    site: Site, sweeper: Sweeper, tmp_path: Path
) -> None:
    """Restarted, held, newly protected: each of the ten is named, with what keeps it."""
    tasks = [f"task_{number:03}" for number in range(100)]
    for number, task_id in enumerate(tasks):
        aged(site, task_id, 40 + number / 100)
    digest = save(site, policies(tmp_path / "p"))
    restarted, held, protected = tasks[3:7], tasks[20:23], tasks[60:63]
    for task_id in restarted[:2]:
        site.store.query("UPDATE data_pipeline_tasks SET status = 'in_progress' WHERE task_id = ?", [task_id])
    site.store.add_step(restarted[2], "running")
    site.store.query("UPDATE data_pipeline_tasks SET by_user = 'bob' WHERE task_id = ?", [restarted[3]])
    for task_id in held:
        hold(site, task_id)
    now = policies(tmp_path / "p", protected=f"golden*, {', '.join(protected)}")
    aged(site, "task_new", 50)

    report = apply(site, sweeper, now, digest[:8])

    stayed = {*restarted, *held, *protected}
    assert names(site) == {*stayed, "task_new"}
    assert {outcome.task_id for outcome in report.deleted} == set(tasks) - stayed
    assert len(report.deleted) == 90
    assert report.outcome is SweepOutcome.SUCCESS
    reasons = {missed.task_id: missed.reason for missed in report.dropped}
    assert set(reasons) == stayed
    assert all("running" in reasons[task_id] for task_id in restarted[:3])
    assert "changed since the plan" in reasons[restarted[3]]
    assert all("held by alice: audit" in reasons[task_id] for task_id in held)
    assert all("protected by golden" in reasons[task_id] for task_id in protected)
    document = report.document()
    assert (document["plan_digest"], document["deleted_count"], document["dropped_count"]) == (digest, 90, 10)
    assert {one["task_id"] for one in document["dropped"]} == stayed


def test_the_same_content_has_the_same_digest_and_other_content_another(site: Site, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    first = plan_of(site, policies(tmp_path / "p"))
    assert plan_of(site, policies(tmp_path / "p")).digest == first.digest
    when_and_whom = "schedule: {every: 6h}\n    notify: {before: 48h}"
    assert plan_of(site, policies(tmp_path / "p", mode="observe", extra=when_and_whom)).digest == first.digest
    assert plan_of(site, policies(tmp_path / "p", age="31d")).digest != first.digest
    site.store.query("UPDATE data_pipeline_tasks SET by_user = 'bob'")
    assert plan_of(site, policies(tmp_path / "p")).digest != first.digest


def test_a_plan_comes_back_as_it_was_saved(site: Site, tmp_path: Path) -> None:
    aged(site, "old_1", 40.000001)
    aged(site, "old_2", 41, by_user="ünï")
    aged(site, "young", 3)
    chosen = policies(tmp_path / "p")
    plan = plan_of(site, chosen)
    loaded = stored.load(site.catalog, chosen.get("old"), stored.save(site.catalog, plan, "cli:somebody").upper())
    assert [decision.task for decision in loaded.goes] == [decision.task for decision in plan.goes]
    assert [decision.reason for decision in loaded.goes] == [decision.reason for decision in plan.goes]
    assert (loaded.digest, loaded.considered, loaded.stay_counts) == (plan.digest, 3, plan.stay_counts)


def test_saving_again_renews_the_plan_and_saving_any_forgets_old_ones(site: Site, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    chosen = policies(tmp_path / "p")
    digest = save(site, chosen)
    long_ago = clock.now().replace(tzinfo=None) - timedelta(days=31)
    site.store.query("UPDATE sweepd_plans SET made_at = ?", [long_ago])
    assert save(site, chosen) == digest
    stored.load(site.catalog, chosen.get("old"), digest)
    site.store.query("UPDATE sweepd_plans SET made_at = ?", [long_ago])
    aged(site, "old_2", 40)
    save(site, chosen)
    with pytest.raises(SweepRefused, match="forgotten after 30 days") as caught:
        stored.load(site.catalog, chosen.get("old"), digest)
    assert caught.value.code is ErrorCode.PLAN_NOT_FOUND
    assert site.store.query("SELECT digest FROM sweepd_plan_tasks WHERE digest = ?", [digest]) == []


def test_saving_again_renews_the_sizes_that_limits_are_checked_on(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    limited = policies(tmp_path / "p", extra="limits: {max_bytes: 1MB}")
    digest = save(site, limited)
    unmeasured = apply(site, sweeper, limited, digest)
    assert (unmeasured.outcome, unmeasured.limits) == (SweepOutcome.BLOCKED, ["max_bytes"])
    (site.path / "old_1" / "large").write_bytes(bytes(2_000_000))
    scanned(site, "old_1")
    assert save(site, limited) == digest
    report = apply(site, sweeper, limited, digest)
    assert (report.outcome, report.limits) == (SweepOutcome.BLOCKED, ["max_bytes"])
    assert "2.0 MB are selected, limits.max_bytes is 1.0 MB" in str(report.error)
    (site.path / "old_1" / "large").unlink()
    site.store.query("DELETE FROM sweepd_inventory")
    scanned(site, "old_1")
    assert save(site, limited) == digest
    assert len(apply(site, sweeper, limited, digest).deleted) == 1


@pytest.mark.parametrize("change", [{"age": "29d"}, {"extra": "keep: {last: 1}"}, {"extra": "limits: {max_tasks: 1}"}])
def test_a_plan_of_a_policy_that_has_changed_is_refused_as_a_whole(
    site: Site, tmp_path: Path, change: dict[str, str]
) -> None:
    aged(site, "old_1", 40)
    digest = save(site, policies(tmp_path / "p"))
    changed = policies(tmp_path / "p", **change)
    with pytest.raises(SweepRefused, match="has changed since plan") as caught:
        stored.load(site.catalog, changed.get("old"), digest)
    assert caught.value.code is ErrorCode.PLAN_OUTDATED


def test_a_plan_made_while_the_policy_observed_is_applied_once_it_enforces(
    site: Site, sweeper: Sweeper, tmp_path: Path
) -> None:
    aged(site, "old_1", 40)
    observing = policies(tmp_path / "p", mode="observe")
    digest = save(site, observing)
    with pytest.raises(SweepRefused, match="set mode: enforce"):
        stored.load(site.catalog, observing.get("old"), digest)
    report = apply(site, sweeper, policies(tmp_path / "p"), digest)
    assert [outcome.task_id for outcome in report.deleted] == ["old_1"]


@pytest.mark.parametrize("digest", ["1234567", "xyzxyzxyz", "", "%%%%%%%%", "ffffffff"])
def test_what_names_no_plan_is_refused(site: Site, tmp_path: Path, digest: str) -> None:
    chosen = policies(tmp_path / "p")
    save(site, chosen)
    with pytest.raises(SweepRefused) as caught:
        stored.load(site.catalog, chosen.get("old"), digest)
    assert caught.value.code is ErrorCode.PLAN_NOT_FOUND


def test_a_plan_is_of_its_policy_and_a_prefix_has_to_be_unique(site: Site, tmp_path: Path) -> None:
    aged(site, "old_1", 40)
    chosen = policies(tmp_path / "p")
    digest = save(site, chosen)
    with pytest.raises(SweepRefused, match="is one of policy old, not of other"):
        stored.load(site.catalog, chosen.get("other"), digest)
    twin = digest[:8] + "0" * 56
    site.store.query(
        "INSERT INTO sweepd_plans SELECT CAST(? AS TEXT), policy, policy_digest, made_at, made_by, considered,"
        " selected, stay_counts FROM sweepd_plans",
        [twin],
    )
    with pytest.raises(SweepRefused, match="several plans begin with"):
        stored.load(site.catalog, chosen.get("old"), digest[:8])


def test_the_limits_are_checked_on_the_plan_that_was_reviewed(site: Site, sweeper: Sweeper, tmp_path: Path) -> None:
    for number in range(3):
        aged(site, f"old_{number}", 40 + number)
    limited = policies(tmp_path / "p", extra="limits: {max_tasks: 2}")
    digest = save(site, limited)
    site.store.query("UPDATE data_pipeline_tasks SET status = 'failed' WHERE task_id = 'old_0'")
    report = apply(site, sweeper, limited, digest)
    assert report.outcome is SweepOutcome.BLOCKED
    assert len(names(site)) == 3


def test_a_plan_that_was_stored_before_its_directories_were_counted_is_read(site: Site) -> None:
    aged(site, "old_1", 40)
    scanned(site, "old_1")
    chosen = policy_set({"size": {"gte": "0B"}}, mode="enforce")
    digest = stored.save(site.catalog, make_plan(site.catalog, chosen, chosen.policies[0]), "cli:somebody")
    (row,) = site.store.query("SELECT task FROM sweepd_plan_tasks")
    content = json.loads(row["task"])
    assert content["measured"].pop("directories") == 2
    site.store.query("UPDATE sweepd_plan_tasks SET task = ?", [json.dumps(content)])
    [decision] = stored.load(site.catalog, chosen.policies[0], digest).goes
    assert decision.measured is not None
    assert (decision.measured.files, decision.measured.directories) == (1, None)
