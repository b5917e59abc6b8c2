"""What the catalog remembers of policies for their metrics, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon import clock
from daemon.app.policy_facts import policy_facts
from daemon.catalog import suspensions
from daemon.metrics.registry import Metrics
from daemon.policy.models import Policy, PolicySet
from daemon.sweep.suspension import Suspensions
from support.judging import policy_set
from support.site import Site

WEEKLY = {"cron": "0 4 * * sun", "timezone": "UTC"}
ON = policy_set({"status": "completed"}, mode="enforce", schedule=WEEKLY)
OTHER = policy_set({"status": "failed"}, mode="enforce", schedule=WEEKLY)


def load(site: Site, policies: PolicySet, metrics: Metrics | None = None) -> None:
    """As the daemon does at its start and at a reload; ``metrics``: of one that has just started."""
    found = metrics or site.metrics
    with site.catalog.write() as session:
        suspended = {one.name: Suspensions(site.catalog, found).found(session, one) for one in policies.policies}
        facts = policy_facts(session, policies)
    found.policies.load(facts)
    for name, is_suspended in suspended.items():
        found.policies.suspended(name, is_suspended)


def last_ran(site: Site, days: float) -> None:
    """The policy has been known for so long, and last ran then."""
    at = clock.now() - timedelta(days=days)
    given = at.replace(tzinfo=None) if site.store.sqlite else at
    names = ("first_seen_at", "last_run_at", "scheduled_at")
    site.store.query(f"UPDATE sweepd_policies SET {', '.join(f'{name} = ?' for name in names)}", [given] * len(names))


def suspend(site: Site, policy: Policy) -> None:
    with site.catalog.write() as session:
        suspensions.suspend(session.connection, policy.name, "it failed", policy.digest)


def overdue(metrics: Metrics) -> bool:
    due = metrics.registry.get_sample_value("sweepd_policy_due_timestamp_seconds", {"policy": "policy"})
    assert due is not None
    return due < clock.now().timestamp()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["reloaded", "restarted"])
def test_a_policy_that_does_not_run_is_overdue_over_restarts_too(site: Site, elsewhere: bool) -> None:
    load(site, ON)
    last_ran(site, 60)
    found = Metrics() if elsewhere else site.metrics
    load(site, ON, found)
    assert overdue(found)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["reloaded", "restarted"])
@pytest.mark.parametrize(
    "before",
    [
        policy_set({"status": "completed"}, mode="disabled", schedule=WEEKLY),
        policy_set({"status": "completed"}, mode="enforce"),
        policy_set({"status": "completed"}, mode="enforce", schedule={"cron": "0 4 1 1 *"}),
        PolicySet(),
    ],
    ids=["disabled", "unscheduled", "other schedule", "removed"],
)
def test_one_that_could_not_run_until_now_is_not_overdue(site: Site, before: PolicySet, elsewhere: bool) -> None:
    load(site, ON)
    last_ran(site, 60)
    load(site, before)
    found = Metrics() if elsewhere else site.metrics
    load(site, ON, found)
    assert not overdue(found)
    last_ran(site, 8)
    load(site, ON, found)
    assert overdue(found), "from then on it is"


@pytest.mark.parametrize("elsewhere", [False, True], ids=["at once", "restarted"])
def test_one_that_was_suspended_counts_from_its_resumption(site: Site, elsewhere: bool) -> None:
    load(site, ON)
    last_ran(site, 60)
    suspend(site, ON.policies[0])
    load(site, ON)
    site.sweeper().suspensions.lift("policy", "test")
    found = Metrics() if elsewhere else site.metrics
    if elsewhere:
        load(site, ON, found)
    assert not overdue(found)


def test_what_another_process_suspends_or_resumes_is_seen(site: Site) -> None:
    load(site, ON)
    last_ran(site, 60)
    here, elsewhere = site.sweeper().suspensions, Suspensions(site.catalog, Metrics())
    suspend(site, ON.policies[0])
    here.report(ON)
    assert site.metric("sweepd_policy_suspended", policy="policy") == 1
    here.report(OTHER)
    assert site.metric("sweepd_policy_suspended", policy="policy") == 0, "it is another one now"
    here.report(ON)
    elsewhere.lift("policy", "test")
    here.report(ON)
    assert site.metric("sweepd_policy_suspended", policy="policy") == 0
    assert not overdue(site.metrics)


def test_one_that_was_suspended_and_is_another_one_now_goes_on_at_once(site: Site) -> None:
    load(site, ON)
    last_ran(site, 60)
    suspend(site, ON.policies[0])
    load(site, OTHER)
    assert not overdue(site.metrics)
    assert site.metric("sweepd_policy_suspended", policy="policy") == 0
    assert site.store.query("SELECT suspended_at FROM sweepd_policies") == [{"suspended_at": None}]


def test_a_run_is_due_when_its_jitter_is_over(site: Site) -> None:
    def due(**schedule: Any) -> datetime:
        load(site, policy_set({"status": "completed"}, mode="enforce", schedule={**WEEKLY, **schedule}))
        return datetime.fromtimestamp(site.metric("sweepd_policy_due_timestamp_seconds", policy="policy"), UTC)

    assert due(jitter="6h") - due() == timedelta(hours=6)


def test_a_last_run_that_is_yet_to_come_puts_nothing_off(site: Site) -> None:
    load(site, ON)
    last_ran(site, -1000)
    load(site, ON)
    due = site.metric("sweepd_policy_due_timestamp_seconds", policy="policy")
    assert due <= (clock.now() + timedelta(days=7)).timestamp()
