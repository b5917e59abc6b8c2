"""Plans that are reviewed first and applied later: saved by digest, and loaded to be swept exactly as they were."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from daemon import clock
from daemon.catalog import plans
from daemon.catalog.catalog import Catalog
from daemon.catalog.plans import PlannedTask, StoredPlan
from daemon.catalog.selection import Verdict
from daemon.errors import ErrorCode, SweepRefused
from daemon.policy.models import Mode, Policy
from daemon.sweep.plan import Decision, Plan

_PREFIX: Final = re.compile("[0-9a-f]{8,64}")


def save(catalog: Catalog, plan: Plan, made_by: str) -> str:
    """Keep the plan for ``load``; its digest. Raises CatalogUnavailable or CatalogNotReady."""
    stored = StoredPlan(
        digest=plan.digest,
        policy=plan.policy.name,
        policy_digest=plan.policy.meaning,
        made_at=clock.now(),
        made_by=made_by,
        considered=plan.considered,
        selected=len(plan.goes),
        stay_counts={str(verdict): count for verdict, count in plan.stay_counts.items()},
    )
    tasks = (PlannedTask(d.task, d.measured, d.reason, d.directory) for d in plan.goes)
    with catalog.write() as session:
        plans.store(session.connection, stored, tasks)
    return stored.digest


def load(catalog: Catalog, policy: Policy, digest: str) -> Plan:
    """The plan of this policy that was saved; ``digest`` may be its first 8 digits or more. It is without ``stays``.

    Raises SweepRefused: PLAN_NOT_FOUND, PLAN_OUTDATED if the policy has changed since, STARTUP_REFUSED if it does not
    delete; CatalogUnavailable or CatalogNotReady.
    """
    if policy.mode is not Mode.ENFORCE:
        message = f"policy {policy.name} is in mode {policy.mode}, so its plan is not applied; set mode: enforce in it"
        raise SweepRefused(message, code=ErrorCode.STARTUP_REFUSED)
    prefix = digest.lower()
    if _PREFIX.fullmatch(prefix) is None:
        raise _not_found("a plan is named by 8 to 64 hexadecimal digits, as `sweepd plan POLICY --save` prints them")
    with catalog.read() as session:
        found = plans.find(session.connection, prefix)
        if not found:
            raise _not_found(
                f"there is no plan {prefix}: plans are forgotten after {plans.RETENTION.days} days; "
                f"make a new one: sweepd plan {policy.name} --save"
            )
        if len(found) > 1:
            raise _not_found(f"several plans begin with {prefix}; give more of the digest")
        [stored] = found
        if stored.policy != policy.name:
            raise _not_found(f"plan {prefix} is one of policy {stored.policy}, not of {policy.name}")
        if stored.policy_digest != policy.meaning:
            raise SweepRefused(
                f"policy {policy.name} has changed since plan {prefix} was made, so nothing was deleted; "
                f"review a new one: sweepd plan {policy.name} --save",
                code=ErrorCode.PLAN_OUTDATED,
            )
        goes = tuple(
            Decision(planned.task, Verdict.SELECTED, planned.reason, (), planned.measured, directory=planned.directory)
            for planned in plans.tasks_of(session.connection, stored.digest)
        )
        counts = Counter({Verdict(name): count for name, count in stored.stay_counts.items()})
        return Plan(policy, session.now, goes, (), counts)


def _not_found(message: str) -> SweepRefused:
    return SweepRefused(message, code=ErrorCode.PLAN_NOT_FOUND)
