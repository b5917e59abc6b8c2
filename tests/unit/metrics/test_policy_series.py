"""The series of a policy: there from the start, remembered over restarts, and gone with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.metrics.policies import LIMITS, OUTCOMES, STAYS, PolicyFacts, SweepFacts
from daemon.metrics.registry import Metrics

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def facts(name: str, **others: Any) -> PolicyFacts:
    given: dict[str, Any] = {
        "mode": "enforce",
        "due_after": lambda last: last + timedelta(hours=1),
        "first_seen": AT,
        "last_run": None,
        "last_success": None,
        "last_outcome": None,
        "without_match": 0,
        "is_quota": False,
    }
    return PolicyFacts(name, **{**given, **others})


def sweep(outcome: str = "success", matched: int | None = 2, **others: Any) -> SweepFacts:
    return SweepFacts(outcome, 1.5, AT + timedelta(minutes=5), outcome == "success", matched=matched, **others)


def series(metrics: Metrics, policy: str) -> set[str]:
    return {
        sample.name + str({k: v for k, v in sample.labels.items() if k != "policy"})
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.labels.get("policy") == policy
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"sweepd_{name}", labels)


def test_every_series_of_a_policy_is_there_before_it_has_run() -> None:
    metrics = Metrics()
    metrics.policies.load([facts("old"), facts("other", is_quota=True)])
    before = series(metrics, "old")
    for outcome in (*OUTCOMES, "refused"):
        assert value(metrics, "sweeps_total", policy="old", outcome=outcome) == 0
    for limit in LIMITS:
        assert value(metrics, "sweeps_blocked_total", policy="old", limit=limit) == 0
    assert value(metrics, "policy_last_run_timestamp_seconds", policy="old") == 0
    metrics.policies.began("old", AT)
    metrics.policies.swept("old", sweep(stays=dict.fromkeys(STAYS, 3), tasks={"deleted": 2}, freed_bytes=7))
    metrics.policies.ended("old")
    metrics.policies.refused("old", "CATALOG_EMPTY")
    metrics.policies.blocked("old", "max_tasks")
    metrics.policies.suspended("old", True)
    assert series(metrics, "old") == before
    assert value(metrics, "policy_kept_tasks", policy="old", reason="held") == 3
    assert value(metrics, "sweep_tasks_total", policy="old", outcome="deleted") == 2
    assert value(metrics, "policy_last_outcome", policy="old", outcome="success") == 1
    assert value(metrics, "policy_last_outcome", policy="old", outcome="failed") == 0
    assert value(metrics, "quota_unreached", policy="other") == 0


def test_a_policy_that_is_gone_takes_its_series_along_and_a_sweep_of_it_brings_none_back() -> None:
    metrics = Metrics()
    metrics.policies.load([facts("old"), facts("new")])
    metrics.policies.quota("old", 9, 8, 7, 1)
    metrics.policies.swept("new", sweep())
    metrics.policies.load([facts("new", last_run=AT)])
    metrics.policies.began("old", AT)
    metrics.policies.swept("old", sweep())
    metrics.policies.refused("old", "SWEEP_RUNNING")
    metrics.policies.blocked("old", "max_tasks")
    metrics.policies.suspended("old", True)
    metrics.policies.quota("old", 9, 8, 7, 1)
    metrics.policies.ended("old")
    assert series(metrics, "old") == set()
    assert value(metrics, "sweeps_total", policy="new", outcome="success") == 1, "a reload takes no count away"


def test_a_reload_does_not_hide_how_the_last_sweep_ended_though_it_left_no_record() -> None:
    metrics = Metrics()
    metrics.policies.load([facts("old", last_outcome="success")])
    metrics.policies.swept("old", sweep("failed", matched=None))
    metrics.policies.load([facts("old", last_outcome="success"), facts("new", last_outcome="blocked")])
    assert value(metrics, "policy_last_outcome", policy="old", outcome="failed") == 1
    assert value(metrics, "policy_last_outcome", policy="old", outcome="success") == 0
    assert value(metrics, "policy_last_outcome", policy="new", outcome="blocked") == 1


def test_a_policy_that_is_no_quota_any_more_takes_the_marks_of_the_quota_away() -> None:
    metrics = Metrics()
    metrics.policies.load([facts("old", is_quota=True), facts("other", is_quota=True)])
    metrics.policies.quota("old", 9, 8, 7, 1)
    metrics.policies.quota("other", 9, 8, 7, 1)
    metrics.policies.load([facts("old"), facts("other", is_quota=True)])
    metrics.policies.quota("old", 9, 8, 7, 1)  # of a sweep that began before
    assert [name for name in series(metrics, "old") if "quota" in name] == []
    assert value(metrics, "quota_unreached", policy="other") == 1


def test_what_is_due_follows_the_last_run() -> None:
    metrics = Metrics()
    metrics.policies.load(
        [facts("old"), facts("by-hand", due_after=None), facts("ran", last_run=AT + timedelta(days=1))]
    )
    hour = 3600
    assert value(metrics, "policy_due_timestamp_seconds", policy="old") == AT.timestamp() + hour
    assert value(metrics, "policy_due_timestamp_seconds", policy="by-hand") is None
    assert value(metrics, "policy_due_timestamp_seconds", policy="ran") == AT.timestamp() + 25 * hour
    metrics.policies.began("old", AT + timedelta(hours=2))
    assert value(metrics, "policy_due_timestamp_seconds", policy="old") == AT.timestamp() + 3 * hour
    assert value(metrics, "policy_sweep_running", policy="old") == 1
    metrics.policies.ended("old")
    assert value(metrics, "policy_sweep_running", policy="old") == 0


@pytest.mark.parametrize(
    ("sweeps", "row"),
    [
        ([sweep(matched=0), sweep(matched=0)], 5),
        ([sweep(matched=0), sweep(matched=1)], 0),
        ([sweep("failed", matched=None)], 3),  # no plan was made: it says nothing of the match
        ([sweep(matched=0, is_quota=True)], 0),
    ],
)
def test_sweeps_without_a_match_are_counted_on_from_what_is_remembered(sweeps: list[SweepFacts], row: int) -> None:
    metrics = Metrics()
    metrics.policies.load([facts("old", without_match=3)])
    for one in sweeps:
        metrics.policies.swept("old", one)
    assert value(metrics, "policy_sweeps_without_match", policy="old") == row
