"""Remembers which tasks a sweep could not delete: each is its policy's failure once, and then tried again by itself."""

from __future__ import annotations

from typing import Final

from daemon import log
from daemon.catalog import task_failures
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.tables import task_failures as table
from daemon.catalog.task_failures import Failed
from daemon.errors import ErrorCode
from daemon.policy.models import PolicySet
from daemon.sweep.report import Missed, SweepReport

_log = log.get(__name__)

NAMED: Final = 20
"""Tasks that one event of the log names; all of them are counted."""

# What the whole sweep depends on: none of these says anything of a task.
_NOT_ITS_OWN: Final = {
    ErrorCode.ROOT_UNAVAILABLE,
    ErrorCode.CATALOG_UNAVAILABLE,
    ErrorCode.CATALOG_NOT_READY,
    ErrorCode.CATALOG_ROLLED_BACK,
}


def remember(catalog: Catalog, session: Session, policies: PolicySet, report: SweepReport) -> int:
    """Note what the sweep could not delete, and forget what does not matter any more; how many tasks are failing now.

    ``session`` writes. Raises as the connection does.
    """
    connection, policy = session.connection, report.plan.policy
    decisions = {decision.task.task_id: decision for decision in report.chosen}
    failed = []
    for missed in (*report.failed, *report.failed_again):
        if _is_its_own(missed):
            decision = decisions[missed.task_id]
            since = decision.measured.first_seen_at if policy.source == "orphans" and decision.measured else None
            fingerprint = task_failures.fingerprint_of(decision.task, since)
            failed.append(Failed(missed.task_id, fingerprint, missed.code, missed.reason))
    task_failures.forget(connection, policy.name, [outcome.task_id for outcome in report.deleted])
    task_failures.record(connection, policy, failed, session.now.utc)
    if task_failures.has_any(connection, policy.name):
        looked_at = catalog.select(session, policy, policies, backoff=False, notice=False).looks_at(table.c.task_id)
        task_failures.forget_void(connection, policy, looked_at)
    return len(task_failures.find(connection, policy))


def _is_its_own(missed: Missed) -> bool:
    return missed.own and missed.code not in _NOT_ITS_OWN


def tell(report: SweepReport) -> None:
    """Log what failed for the first time. It is not logged again while it fails in the same way."""
    new = [missed for missed in report.failed if _is_its_own(missed)]
    if new:
        _log.warning(
            "tasks_failing",
            policy=report.policy,
            sweep_id=report.sweep_id,
            tasks=len(new),
            task_ids=[missed.task_id for missed in new[:NAMED]],
            error=new[0].code,
            reason=new[0].reason,
        )
