"""What the metrics are told: which policies are loaded, and what the catalog remembers of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from daemon import clock
from daemon.catalog import figures, sweeps, task_failures
from daemon.catalog.catalog import Session
from daemon.catalog.sweeps import PolicyMemory
from daemon.metrics.policies import PolicyFacts
from daemon.policy.models import Mode, Policy, PolicySet
from daemon.scheduler import due_after, schedules

_MOST_WITHOUT_MATCH: Final = 1000


def policy_facts(session: Session, policies: PolicySet) -> list[PolicyFacts]:
    """What the metrics are to know. The catalog notes that these policies are loaded now.

    Raises CatalogUnavailable.
    """
    scheduled = {name: schedule.digest for name, schedule in schedules(policies).items()}
    loaded = {policy.name: scheduled.get(policy.name) for policy in policies.policies}
    memories = sweeps.load(session.connection, loaded)
    task_failures.forget_policies(session.connection, but=loaded)
    return [_facts(session, policy, memories[policy.name]) for policy in policies.policies]


def _facts(session: Session, policy: Policy, memory: PolicyMemory) -> PolicyFacts:
    last = sweeps.recent(session.connection, policy.name, 1)
    return PolicyFacts(
        name=policy.name,
        mode=policy.mode,
        due_after=_due_after(policy, memory),
        first_seen=memory.first_seen_at,
        last_run=memory.last_run_at,
        last_success=memory.last_success_at,
        last_outcome=last[0].outcome if last else None,
        without_match=0 if policy.quota is not None else _without_match(session, policy.name),
        is_quota=policy.quota is not None,
    )


def _due_after(policy: Policy, memory: PolicyMemory) -> Callable[[datetime], datetime | None] | None:
    schedule = policy.schedule
    if schedule is None or policy.mode is Mode.DISABLED:
        return None
    anchor, active = memory.last_run_at or memory.first_seen_at, memory.scheduled_at or memory.first_seen_at
    jitter = schedule.jitter or timedelta(0)

    def due(last_run: datetime) -> datetime | None:
        # Nothing was due while it could not run. What is yet to come was told by a clock that was wrong.
        now = clock.now()
        found = due_after(schedule, min(anchor, now), min(max(last_run, active), now))
        return None if found is None else found + jitter

    return due


def _without_match(session: Session, name: str) -> int:
    selected = figures.selected_before(session.connection, name, _MOST_WITHOUT_MATCH)
    return next((number for number, tasks in enumerate(selected) if tasks), len(selected))
