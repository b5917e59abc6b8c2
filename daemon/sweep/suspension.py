"""A policy whose sweeps keep failing suspends itself, until somebody resumes it or it says something else.

Only what is new counts: a task that failed before is tried again with growing pauses, and suspends nobody.
"""

from __future__ import annotations

from typing import Final

from daemon import log
from daemon.catalog import suspensions, task_failures
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.selection import Verdict
from daemon.errors import ErrorCode, SweepRefused
from daemon.metrics.registry import Metrics
from daemon.moments import for_machines
from daemon.policy.models import Policy, PolicySet
from daemon.sweep.report import SweepOutcome, SweepReport

_log = log.get(__name__)

FAILURES: Final = 3
"""So many failed sweeps in a row suspend a policy."""

_CHANGED: Final = "the policy has changed"
_WORKED: Final = {SweepOutcome.SUCCESS, SweepOutcome.PARTIAL}


class Suspensions:
    """What became of policies that failed. Thread-safe: all memory is the catalog's."""

    def __init__(self, catalog: Catalog, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics

    def check(self, policy: Policy) -> None:
        """Raises SweepRefused (POLICY_SUSPENDED). One that says something else than it did then goes on."""
        with self._catalog.read() as session:
            found = suspensions.find(session.connection, policy.name)
        if found is not None and found.digest != policy.digest:
            self.lift(policy.name, _CHANGED)
            found = None
        self._metrics.policies.suspended(policy.name, found is not None)
        if found is not None:
            raise SweepRefused(
                f"policy {policy.name} is suspended since {for_machines(found.since)}: {found.reason}; "
                f"find out why, then run: sweepd resume {policy.name}",
                code=ErrorCode.POLICY_SUSPENDED,
            )

    def found(self, session: Session, policy: Policy) -> bool:
        """Whether the policy is suspended; ``session`` writes. One that says something else now goes on."""
        found = suspensions.find(session.connection, policy.name)
        if found is not None and found.digest != policy.digest:
            suspensions.lift(session.connection, policy.name)
            task_failures.forget_all(session.connection, policy.name)
            _log.info("policy_resumed", policy=policy.name, reason=_CHANGED)
            return False
        return found is not None

    def report(self, policies: PolicySet) -> None:
        """Tell the metrics which policies are suspended, and how many tasks fail: other processes sweep and resume too.

        Raises CatalogUnavailable.
        """
        with self._catalog.read() as session:
            found = suspensions.all_of_them(session.connection)
            failing = task_failures.count(session.connection)
        for policy in policies.policies:
            self._metrics.policies.failing(policy.name, failing[policy.name, policy.meaning])
            suspended = policy.name in found and found[policy.name].digest == policy.digest
            self._metrics.policies.suspended(policy.name, suspended)

    def note(self, report: SweepReport) -> None:
        """Count how a sweep ended. An outage of root or catalog, a stop or a limit says nothing of the policy."""
        policy = report.plan.policy
        failed = report.too_many_errors or (report.outcome is SweepOutcome.FAILED and not report.lost)
        if not failed and report.outcome not in _WORKED:
            return
        if not failed and not report.deleted and _waits(report):
            return  # what is known to fail says nothing either way
        with self._catalog.write() as session:
            if not failed:
                suspensions.worked(session.connection, policy.name)
                return
            times = suspensions.failed_again(session.connection, policy.name)
            if times < FAILURES:
                return
            reason = f"its last {times} sweeps failed, the last time because {_why(report)}"
            suspensions.suspend(session.connection, policy.name, reason, policy.digest)
        self._metrics.policies.suspended(policy.name, True)
        _log.error("policy_suspended", policy=policy.name, error=ErrorCode.POLICY_SUSPENDED, reason=reason)

    def retry(self, name: str) -> int:
        """Forget which tasks of the policy failed, so that its next sweep tries them; how many there were."""
        with self._catalog.write() as session:
            forgotten = task_failures.forget_all(session.connection, name)
        self._metrics.policies.failing(name, 0)
        return forgotten

    def lift(self, name: str, why: str) -> bool:
        """End a suspension; whether there was one. Tasks that failed are tried again at once."""
        self.retry(name)
        with self._catalog.write() as session:
            lifted = suspensions.lift(session.connection, name)
        self._metrics.policies.suspended(name, False)
        if lifted:
            _log.info("policy_resumed", policy=name, reason=why)
        return lifted


def _waits(report: SweepReport) -> bool:
    return bool(report.failed_again or report.plan.stay_counts[Verdict.BACKING_OFF])


def _why(report: SweepReport) -> str:
    if report.error is not None:
        return report.error
    first = report.failed[0]
    return f"{first.task_id}: {first.reason}"
