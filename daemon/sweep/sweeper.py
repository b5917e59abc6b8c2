"""Runs a policy: see that it may run, plan, check its limits, delete what the plan says, report."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from daemon import clock, log
from daemon.catalog import figures, sweeps, task_failures
from daemon.catalog.catalog import Catalog
from daemon.catalog.clock_guard import ClockGuard
from daemon.catalog.selection import Verdict
from daemon.deletion.engine import Engine
from daemon.deletion.models import ELSEWHERE, Origin, Trigger
from daemon.deletion.retention import Retention
from daemon.errors import CatalogRolledBack, ErrorCode, RootUnavailable, SweepdError, SweepRefused
from daemon.metrics.policies import SweepFacts
from daemon.metrics.registry import Metrics
from daemon.policy.models import Mode, Policy, PolicySet
from daemon.storage.locks import exclusive
from daemon.storage.root import StorageRoot
from daemon.storage.trash import new_deletion_id
from daemon.sweep import failing, guards
from daemon.sweep.limits import HISTORY, Breach, breaches, usual
from daemon.sweep.plan import Decision, Plan, make_plan
from daemon.sweep.quota import Exceeded, Forecast, QuotaSweep, Reading
from daemon.sweep.report import Progress, SweepOutcome, SweepReport
from daemon.sweep.runner import Runner
from daemon.sweep.suspension import Suspensions

_log = log.get(__name__)

# Refusals that somebody has to look into; the others are part of an ordinary day.
_ALARMS = {
    ErrorCode.CLOCK_UNRELIABLE,
    ErrorCode.CATALOG_EMPTY,
    ErrorCode.CATALOG_MISMATCH,
    ErrorCode.ROOT_UNAVAILABLE,
    ErrorCode.CATALOG_ROLLED_BACK,
    ErrorCode.POLICY_SUSPENDED,
}


# What waits matches all the same.
_WAITS = (Verdict.BACKING_OFF, Verdict.NOTICE_PERIOD)


class Sweeper:
    """Sweeps one storage root and catalog. Blocking; one sweep of a policy at a time, over all processes."""

    def __init__(
        self,
        root: StorageRoot,
        catalog: Catalog,
        engine: Engine,
        metrics: Metrics,
        clock_guard: ClockGuard,
        *,
        retention: Retention,
        workers: int,
    ) -> None:
        self._clock_guard = clock_guard
        self._root = root
        self._catalog = catalog
        self._engine = engine
        self._metrics = metrics
        self._retention = retention
        self._workers = workers
        self._stop = threading.Event()
        self._told: dict[str, str] = {}
        self.suspensions = Suspensions(catalog, metrics)

    def stop(self) -> None:
        """Let running sweeps finish the deletions in hand and begin no further one."""
        self._stop.set()

    def sweep(
        self,
        policies: PolicySet,
        policy: Policy,
        trigger: Trigger,
        initiator: str,
        *,
        max_stays: int | None = 0,
        progress: Progress | None = None,
        plan: Plan | None = None,
        retry: bool = False,
        origin: Origin = ELSEWHERE,
    ) -> SweepReport:
        """Run the policy once. Task failures are in the report; raises SweepdError if it could not run at all.

        SweepRefused: the policy is disabled (STARTUP_REFUSED), suspended (POLICY_SUSPENDED) or being swept already
        (SWEEP_RUNNING); or, where something would be deleted, the clocks cannot be believed (CLOCK_UNRELIABLE), the
        tasks table has lost its rows (CATALOG_EMPTY) or is not that of the storage root (CATALOG_MISMATCH), or the
        journal has lost deletions (CATALOG_ROLLED_BACK).
        ``plan``: one that was reviewed, instead of a new one; what has changed since drops out. ``retry``: also try at
        once what failed before.
        ``progress`` is called after the plan and after every deletion, from this thread.
        """
        if policy.mode is Mode.DISABLED:
            message = f"policy {policy.name} is disabled; set mode: enforce (or observe) to run it"
            raise SweepRefused(message, code=ErrorCode.STARTUP_REFUSED)
        started = clock.monotonic()
        with self._reporting(policy, started), exclusive(self._root, f"sweep.{policy.name}") as free:
            if not free:
                message = f"policy {policy.name} is being swept by another process; wait for it"
                raise SweepRefused(message, code=ErrorCode.SWEEP_RUNNING)
            self._check(policies, policy)
            self._metrics.policies.began(policy.name, clock.now())
            try:
                with self._catalog.write() as session:
                    sweeps.began(session.connection, policy.name)
                    began = session.now.utc  # what guards compare with is in the database's time too
                made = plan or make_plan(self._catalog, policies, policy, max_stays=max_stays, backoff=not retry)
                report = SweepReport(new_deletion_id(), trigger, made, began, reviewed=plan is not None)
                self._run(report, policies, initiator, origin, progress or (lambda _report: None))
            finally:
                self._metrics.policies.ended(policy.name)
        self._finish(report, policies, started)
        return report

    @contextmanager
    def _reporting(self, policy: Policy, started: float) -> Iterator[None]:
        """A sweep that could not run is logged and counted; a refusal that repeats itself is logged once."""
        try:
            yield
        except OSError as error:
            self._failed(policy, str(error), ErrorCode.ROOT_UNAVAILABLE, started)
            raise RootUnavailable(f"cannot lock the storage root for a sweep: {error}") from error
        except SweepRefused as refused:
            if refused.code is not ErrorCode.POLICY_SUSPENDED or self._told.get(policy.name) != str(refused):
                write = _log.error if refused.code in _ALARMS else _log.warning
                write("sweep_refused", policy=policy.name, error=refused.code, reason=str(refused))
            self._told[policy.name] = str(refused)
            self._metrics.policies.refused(policy.name, refused.code)
            raise
        except SweepdError as error:
            self._failed(policy, str(error), error.code, started)
            raise
        except Exception as error:  # nobody expects it, so nobody else counts it
            self._failed(policy, f"{type(error).__name__}: {error}", None, started)
            raise
        self._told.pop(policy.name, None)

    def _check(self, policies: PolicySet, policy: Policy) -> None:
        """Raises SweepRefused if the policy may not run now, and as root and catalog do."""
        self.suspensions.check(policy)
        if policy.mode is not Mode.ENFORCE:
            return
        problem = self._clock_guard.problem()
        if problem is not None:
            raise SweepRefused(problem, code=ErrorCode.CLOCK_UNRELIABLE)
        try:
            self._engine.check_journal()
        except CatalogRolledBack as error:
            raise SweepRefused(str(error), code=error.code) from error
        guards.check_catalog(self._catalog, self._root, policies, policy)

    def _run(
        self, report: SweepReport, policies: PolicySet, initiator: str, origin: Origin, progress: Progress
    ) -> None:
        policy = report.plan.policy
        runner, exceeded = self._runner(report, policies, initiator, origin, progress)
        if policy.quota is not None:
            self._quota(report, policies, runner, exceeded).run(progress)
            for result in sorted(report.quota, key=lambda result: result.used)[-1:]:
                unreached = sum(one.shortfall is not None for one in report.quota)
                self._metrics.policies.quota(policy.name, result.used, result.high, result.low, unreached)
        else:
            self._run_plainly(report, runner, exceeded, progress)
        if report.outcome is SweepOutcome.SUCCESS:
            report.outcome = _outcome(report)

    def forecast(self, policies: PolicySet, plan: Plan) -> Forecast:
        """Return what a sweep of a policy with a quota would do now, by this plan. Raises as root and catalog do."""
        return self._looking(policies, plan).forecast()

    def readings(self, policies: PolicySet, plan: Plan) -> list[Reading]:
        """Return how full what the quota of a policy measures is. Raises as root and catalog do."""
        return self._looking(policies, plan).readings()

    def _looking(self, policies: PolicySet, plan: Plan) -> QuotaSweep:
        with self._catalog.read() as session:
            report = SweepReport(new_deletion_id(), Trigger.CLI, plan, session.now.utc)
        runner, exceeded = self._runner(report, policies, "", ELSEWHERE, lambda _report: None)
        return self._quota(report, policies, runner, exceeded)

    def _quota(self, report: SweepReport, policies: PolicySet, runner: Runner, exceeded: Exceeded) -> QuotaSweep:
        return QuotaSweep(self._root, self._catalog, self._retention, report, policies, runner, exceeded)

    def _runner(
        self, report: SweepReport, policies: PolicySet, initiator: str, origin: Origin, progress: Progress
    ) -> tuple[Runner, Exceeded]:
        policy = report.plan.policy
        with self._catalog.read() as session:
            known = task_failures.find(session.connection, policy)
        runner = Runner(
            self._catalog,
            self._engine,
            report,
            policies,
            initiator,
            origin,
            progress,
            known=known,
            workers=self._workers,
            stop=self._stop,
        )
        before = self._usual(policy)

        def exceeded(sizes: Sequence[int | None]) -> list[Breach]:
            if policy.limits is None:
                return []
            return breaches(policy.limits, sizes, report.plan.considered, before)

        return runner, exceeded

    def _run_plainly(self, report: SweepReport, runner: Runner, exceeded: Exceeded, progress: Progress) -> None:
        found = _hold_back(report, runner, exceeded)
        if report.plan.policy.source == "orphans" and report.plan.policy.mode is Mode.ENFORCE:
            with self._catalog.read() as session:
                found += guards.orphan_breaches(session, report.plan)
        allowed = report.hold_to(found)
        if report.plan.policy.mode is Mode.OBSERVE and report.outcome is SweepOutcome.SUCCESS:
            report.outcome = SweepOutcome.OBSERVED
        progress(report)
        if report.outcome is SweepOutcome.SUCCESS:
            runner.delete(report.chosen[:allowed])

    def _usual(self, policy: Policy) -> float | None:
        if policy.limits is None or policy.limits.max_times_usual is None:
            return None
        with self._catalog.read() as session:
            # A quota has nothing to do until the mark is reached, nor a policy that waits for its announcements: that
            # would be what is usual, and the sweep that has something to do would always be too large.
            idle = policy.quota is None and policy.notify is None
            return usual(figures.selected_before(session.connection, policy.name, HISTORY, idle=idle))

    def _finish(self, report: SweepReport, policies: PolicySet, started: float) -> None:
        seconds = clock.monotonic() - started
        report.finished_at = report.started_at + timedelta(seconds=seconds)
        write = _log.info if report.succeeded else _log.error
        exceeded = report.outcome is SweepOutcome.BLOCKED or report.too_many_errors
        write(
            "sweep_finished",
            policy=report.policy,
            sweep_id=report.sweep_id,
            trigger=report.trigger,
            mode=report.plan.policy.mode,
            outcome=report.outcome,
            considered=report.plan.considered,
            selected=report.selected,
            truncated_to=report.truncated_to,
            deleted=len(report.deleted),
            failed=len(report.failed),
            failed_again=len(report.failed_again),
            dropped=len(report.dropped),
            not_attempted=report.not_attempted,
            files=report.files,
            bytes=report.size_bytes,
            freed_bytes=report.freed_bytes,
            seconds=round(seconds, 3),
            error=ErrorCode.LIMIT_EXCEEDED if exceeded else None,
            limits=report.limits or None,
            reason=report.error,
        )
        for limit in report.limits:
            self._metrics.policies.blocked(report.policy, limit)
        self._metrics.policies.swept(report.policy, _facts(report, report.finished_at, seconds))
        try:
            with self._catalog.write() as session:
                sweeps.ended(session.connection, report.record(report.finished_at), success=report.succeeded)
            with self._catalog.write() as session:  # apart: nothing of it may cost the record
                failing_now = failing.remember(self._catalog, session, policies, report)
            self._metrics.policies.failing(report.policy, failing_now)
            failing.tell(report)
            self.suspensions.note(report)
        except SweepdError as error:
            _log.warning("sweep_record_lost", policy=report.policy, sweep_id=report.sweep_id, reason=str(error))

    def _failed(self, policy: Policy, why: str, code: ErrorCode | None, started: float) -> None:
        seconds = clock.monotonic() - started
        outcome = SweepOutcome.FAILED
        _log.error(
            "sweep_finished", policy=policy.name, outcome=outcome, error=code, reason=why, seconds=round(seconds, 3)
        )
        self._metrics.policies.swept(policy.name, SweepFacts(outcome, seconds, clock.now(), success=False))


def _hold_back(report: SweepReport, runner: Runner, exceeded: Exceeded) -> list[Breach]:
    """Return the limits that are exceeded, after what failed before was left out as far as they have no room for it."""

    def beyond(decisions: Sequence[Decision]) -> list[Breach]:
        return exceeded([None if d.measured is None else d.measured.size_bytes for d in decisions])

    if report.reviewed:
        return beyond(report.chosen)
    report.chosen = tuple(runner.known_last(report.chosen))
    new = sum(decision.task.task_id not in runner.known for decision in report.chosen)
    found = beyond(report.chosen)
    if found and new < len(report.chosen):
        report.chosen = report.chosen[: max(new, min(breach.most for breach in found))]
        found = beyond(report.chosen)
    return found


def _facts(report: SweepReport, finished_at: datetime, seconds: float) -> SweepFacts:
    return SweepFacts(
        report.outcome,
        seconds,
        finished_at,
        success=report.succeeded,
        considered=report.plan.considered,
        matched=len(report.plan.goes) + sum(report.plan.stay_counts[verdict] for verdict in _WAITS),
        selected=report.selected,
        stays={str(verdict): number for verdict, number in report.plan.stay_counts.items()},
        tasks={
            "deleted": len(report.deleted),
            "failed": len(report.failed),
            "failed_again": len(report.failed_again),
            "dropped": len(report.dropped),
            "not_attempted": report.not_attempted,
        },
        freed_bytes=report.freed_bytes,
        is_quota=report.plan.policy.quota is not None,
    )


def _outcome(report: SweepReport) -> SweepOutcome:
    """How a sweep that was let delete ended."""
    if report.lost or (report.too_many_errors and not report.deleted):
        return SweepOutcome.FAILED
    if report.too_many_errors:
        return SweepOutcome.PARTIAL
    if report.not_attempted:
        return SweepOutcome.STOPPED
    if report.failed:
        return SweepOutcome.PARTIAL if report.deleted else SweepOutcome.FAILED
    return SweepOutcome.PARTIAL if report.error is not None else SweepOutcome.SUCCESS
