"""Limits on both databases: nothing goes beyond them, and the report, the metrics and the exit say so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from daemon.deletion.models import Trigger
from daemon.errors import ErrorCode, SweepRefused
from daemon.policy.models import PolicySet
from daemon.sweep.report import SweepOutcome, SweepReport
from support.inventories import scanned, swept
from support.judging import policy_set
from support.site import Site

LONG_AGO = "2024-01-01 00:00:00"


def policies(**options: Any) -> PolicySet:
    return policy_set({"older_than": "30d"}, mode="enforce", **options)


def sweep(site: Site, policies: PolicySet) -> SweepReport:
    return site.sweeper().sweep(policies, policies.policies[0], Trigger.CLI, "test")


def tasks(site: Site, number: int, *, prefix: str = "old") -> list[str]:
    names = [f"{prefix}_{index:02}" for index in range(number)]
    for index, name in enumerate(names):
        site.task(name, steps=0, created_at=LONG_AGO, completed_at=f"2024-01-01 00:{index:02}:00")
    return names


def names(site: Site) -> list[str]:
    return sorted(path.name for path in site.path.iterdir() if path.name != ".sweepd")


@pytest.mark.parametrize(
    ("bounds", "limit", "truncated"),
    [
        ({"max_tasks": 3}, "max_tasks", 3),
        ({"max_percent": 30}, "max_percent", 1),
        ({"max_bytes": "250B"}, "max_bytes", 2),
        ({"max_times_usual": 1.5}, "max_times_usual", 3),
    ],
)
def test_one_task_too_many_deletes_nothing_or_the_first_ones(
    site: Site, bounds: dict[str, Any], limit: str, truncated: int
) -> None:
    made = tasks(site, 4)
    scanned(site, *made)  # each has 37 + 74 bytes
    for selected in (1, 2, 9):
        swept(site, "policy", considered=4, selected=selected)
    swept(site, "policy", considered=4, selected=9000, outcome="blocked")
    report = sweep(site, policies(limits=bounds))
    assert (report.outcome, report.deleted, report.limits) == (SweepOutcome.BLOCKED, [], [limit])
    assert f"limits.{limit}" in str(report.error)
    assert names(site) == made
    assert site.metric("sweepd_sweeps_blocked_total", policy="policy", limit=limit) == 1
    report = sweep(site, policies(limits={**bounds, "on_exceed": "truncate"}))
    assert (report.outcome, report.truncated_to) == (SweepOutcome.SUCCESS, truncated)
    assert names(site) == made[truncated:], "the oldest went"


def test_what_was_never_measured_cannot_be_proven_to_fit(site: Site) -> None:
    made = tasks(site, 3)
    scanned(site, made[0], made[2])
    report = sweep(site, policies(limits={"max_bytes": "1GB"}))
    assert report.outcome is SweepOutcome.BLOCKED
    assert "1 of 3 selected tasks have not been measured yet" in str(report.error)
    report = sweep(site, policies(limits={"max_bytes": "1GB", "on_exceed": "truncate"}))
    assert (report.outcome, names(site)) == (SweepOutcome.SUCCESS, made[1:])
    report = sweep(site, policies(limits={"max_bytes": "1GB", "on_exceed": "truncate"}))
    assert (report.outcome, names(site)) == (SweepOutcome.BLOCKED, made[1:]), "no first one that fits"


def test_without_a_history_of_three_sweeps_nothing_is_unusual(site: Site) -> None:
    tasks(site, 4)
    for _ in range(2):
        swept(site, "policy", considered=4, selected=1)
    assert sweep(site, policies(limits={"max_times_usual": 1})).outcome is SweepOutcome.SUCCESS


@pytest.fixture
def stubborn(site: Site) -> list[str]:
    """Tasks whose directories cannot be deleted: a symbolic link has taken their place."""
    made = tasks(site, 30)
    for name in made:
        os.rename(site.path / name, site.path / f"was-{name}")
        (site.path / name).symlink_to(site.path / f"was-{name}")
    return made


def test_too_many_failures_stop_the_sweep_where_it_is(site: Site, stubborn: list[str]) -> None:
    report = sweep(site, policies(limits={"max_error_percent": 10}))
    assert (report.outcome, len(report.failed), report.not_attempted) == (SweepOutcome.FAILED, 10, 20)
    assert "10 of 10 deletions failed (100%), limits.max_error_percent is 10" in str(report.error)
    assert site.metric("sweepd_sweeps_blocked_total", policy="policy", limit="max_error_percent") == 1


def test_three_failures_in_a_row_suspend_a_policy_until_it_is_resumed_or_changed(
    site: Site, stubborn: list[str]
) -> None:
    failing = policies(limits={"max_error_percent": 10})
    for times in range(3):
        assert site.metric("sweepd_policy_suspended", policy="policy") == 0, times
        assert sweep(site, failing).outcome is SweepOutcome.FAILED
    assert site.metric("sweepd_policy_suspended", policy="policy") == 1
    for name in stubborn:  # all is well again, but nobody has said so
        (site.path / name).unlink()
        os.rename(site.path / f"was-{name}", site.path / name)
    with pytest.raises(SweepRefused) as caught:
        sweep(site, failing)
    assert caught.value.code is ErrorCode.POLICY_SUSPENDED
    assert "sweepd resume policy" in str(caught.value)
    assert "its last 3 sweeps failed, the last time because 10 of 10 deletions failed" in str(caught.value)
    assert names(site) == stubborn
    changed = policies(limits={"max_error_percent": 10, "max_tasks": 1, "on_exceed": "truncate"})
    assert len(sweep(site, changed).deleted) == 1
    assert site.metric("sweepd_policy_suspended", policy="policy") == 0
    assert len(sweep(site, failing).deleted) == 29, "it is not suspended again for what it said before"


def test_resuming_by_hand_forgets_what_failed(site: Site, stubborn: list[str]) -> None:
    failing = policies(limits={"max_error_percent": 10})
    sweeper = site.sweeper()
    assert not sweeper.suspensions.lift("policy", "test")
    for _ in range(3):
        sweeper.sweep(failing, failing.policies[0], Trigger.SWEEP, "test")
    assert sweeper.suspensions.lift("policy", "test")
    assert sweeper.sweep(failing, failing.policies[0], Trigger.SWEEP, "test").outcome is SweepOutcome.FAILED
    assert site.metric("sweepd_policy_suspended", policy="policy") == 0


def test_an_outage_is_not_the_policys_failure(site: Site, tmp_path: Path) -> None:
    made = tasks(site, 4)
    chosen, elsewhere = policies(), tmp_path / "elsewhere"

    def lose(report: SweepReport) -> None:
        if site.path.exists():
            site.path.rename(elsewhere)

    for _ in range(4):
        report = site.sweeper().sweep(chosen, chosen.policies[0], Trigger.SWEEP, "test", progress=lose)
        assert (report.outcome, report.lost) == (SweepOutcome.FAILED, True)
        elsewhere.rename(site.path)
    assert sweep(site, chosen).outcome is SweepOutcome.SUCCESS
    assert names(site) == []
    assert len(made) == 4
