"""Runs a policy: plan, check its limits, delete what the plan says, report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from daemon import clock, log
from daemon.catalog import sweeps
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.clock_guard import ClockGuard
from daemon.catalog.rows import TaskRow
from daemon.catalog.selection import Verdict
from daemon.deletion.engine import GROUP, Engine
from daemon.deletion.models import Guard, Outcome, Request, Trigger, What
from daemon.errors import CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError, SweepRefused
from daemon.metrics import Metrics
from daemon.policy.models import Mode, Policy, PolicySet
from daemon.storage.locks import exclusive
from daemon.storage.root import StorageRoot
from daemon.storage.trash import new_deletion_id
from daemon.sweep.plan import Decision, Plan, decide, make_plan
from daemon.sweep.report import Missed, SweepOutcome, SweepReport

_log = log.get(__name__)

_DROPPED = {ErrorCode.TASK_CHANGED, ErrorCode.TASK_RUNNING, ErrorCode.TASK_NOT_FOUND, ErrorCode.TASK_HELD}
Progress = Callable[[SweepReport], None]


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
        workers: int,
    ) -> None:
        self._clock_guard = clock_guard
        self._root = root
        self._catalog = catalog
        self._engine = engine
        self._metrics = metrics
        self._workers = workers
        self._stop = threading.Event()

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
    ) -> SweepReport:
        """Run the policy once. Task failures are in the report; raises SweepdError if it could not run at all.

        SweepRefused: the policy is disabled (STARTUP_REFUSED) or being swept already (SWEEP_RUNNING), or the clocks
        cannot be believed (CLOCK_UNRELIABLE; only where something would be deleted).
        ``plan``: one that was reviewed, instead of a new one; what has changed since drops out.
        ``progress`` is called after the plan and after every deletion, from this thread.
        """
        if policy.mode is Mode.DISABLED:
            message = f"policy {policy.name} is disabled; set mode: enforce (or observe) to run it"
            raise SweepRefused(message, code=ErrorCode.STARTUP_REFUSED)
        started, began = clock.monotonic(), clock.now()
        try:
            with exclusive(self._root, f"sweep.{policy.name}") as free:
                if not free:
                    message = f"policy {policy.name} is being swept by another process; wait for it"
                    raise SweepRefused(message, code=ErrorCode.SWEEP_RUNNING)
                problem = self._clock_guard.problem() if policy.mode is Mode.ENFORCE else None
                if problem is not None:
                    raise SweepRefused(problem, code=ErrorCode.CLOCK_UNRELIABLE)
                with self._catalog.write() as session:
                    sweeps.began(session.connection, policy.name)
                plan = plan or make_plan(self._catalog, policies, policy, max_stays=max_stays)
                report = SweepReport(new_deletion_id(), trigger, plan, began)
                self._run(report, policies, initiator, progress)
        except OSError as error:
            self._failed(policy, str(error), started)
            raise RootUnavailable(f"cannot lock the storage root for a sweep: {error}") from error
        except SweepRefused as refused:
            _log.warning("sweep_refused", policy=policy.name, error=refused.code, reason=str(refused))
            raise
        except SweepdError as error:
            self._failed(policy, str(error), started)
            raise
        self._finish(report, started)
        return report

    def _run(self, report: SweepReport, policies: PolicySet, initiator: str, progress: Progress | None) -> None:
        plan = report.plan
        chosen = self._within_limits(report, plan)
        if plan.policy.mode is Mode.OBSERVE and report.outcome is SweepOutcome.SUCCESS:
            report.outcome = SweepOutcome.OBSERVED
        tell = progress or (lambda _report: None)
        tell(report)
        if report.outcome is not SweepOutcome.SUCCESS:
            return
        attempted = 0
        for decision, result in self._delete_all(chosen, report, policies, initiator):
            attempted += self._note(report, decision, result)
            tell(report)
        report.not_attempted = len(chosen) - attempted
        if report.error is not None:
            report.outcome = SweepOutcome.FAILED
        elif report.not_attempted:
            report.outcome = SweepOutcome.STOPPED
        elif report.failed:
            report.outcome = SweepOutcome.PARTIAL if report.deleted else SweepOutcome.FAILED

    def _within_limits(self, report: SweepReport, plan: Plan) -> tuple[Decision, ...]:
        limits = plan.policy.limits
        if limits is None or limits.max_tasks is None or len(plan.goes) <= limits.max_tasks:
            return plan.goes
        if limits.on_exceed == "truncate":
            report.truncated_to = limits.max_tasks
            return plan.goes[: limits.max_tasks]
        report.outcome = SweepOutcome.BLOCKED
        report.error = (
            f"{len(plan.goes)} tasks are selected, limits.max_tasks is {limits.max_tasks}: nothing was deleted; "
            f"look at the plan, then raise the limit or narrow the match"
        )
        return ()

    def _delete_all(
        self, chosen: tuple[Decision, ...], report: SweepReport, policies: PolicySet, initiator: str
    ) -> Iterator[tuple[Decision, Outcome | SweepdError]]:
        """Delete in groups with a few threads, in the plan's order, at most that many groups ahead of the answers."""
        guard = self._guard(policies, report.plan.policy, chosen)
        # Small sweeps are spread over the threads too.
        size = max(1, min(GROUP, len(chosen) // self._workers))
        queue = iter([chosen[start : start + size] for start in range(0, len(chosen), size)])
        pending: dict[Future[list[Outcome | SweepdError]], tuple[Decision, ...]] = {}
        with ThreadPoolExecutor(self._workers, thread_name_prefix="sweep") as pool:
            while True:
                if not self._stop.is_set() and report.error is None:
                    for group in islice(queue, self._workers - len(pending)):
                        requests = [self._request(decision, report, initiator, guard) for decision in group]
                        pending[pool.submit(self._engine.delete_group, requests)] = group
                if not pending:
                    return
                for done in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield from zip(pending.pop(done), done.result(), strict=True)

    def _request(self, decision: Decision, report: SweepReport, initiator: str, guard: Guard) -> Request:
        policy = report.plan.policy
        return Request(
            task_id=decision.task.task_id,
            what=What(policy.action.what),
            trigger=Trigger.SWEEP,
            initiator=initiator,
            policy=policy.name,
            sweep_id=report.sweep_id,
            guard=guard,
            retain=policy.action.retain,
        )

    def _guard(self, policies: PolicySet, policy: Policy, chosen: tuple[Decision, ...]) -> Guard:
        """Under the rows' locks: unchanged since the plan, and still selected by the policy."""
        planned = {decision.task.task_id: decision.task for decision in chosen}

        def check(session: Session, rows: Sequence[TaskRow]) -> dict[str, str]:
            refused = {row.task_id: "it has changed since the plan" for row in rows if row != planned[row.task_id]}
            asked = [row.task_id for row in rows if row.task_id not in refused]
            selection = self._catalog.select(session, policy, policies)
            judged = selection.judge_some(session.connection, asked)
            for task_id in asked:
                if task_id not in judged:
                    refused[task_id] = f"policy {policy.name} does not select it any more"
                elif judged[task_id].verdict is not Verdict.SELECTED:
                    why = decide(judged[task_id], selection).reason
                    refused[task_id] = f"policy {policy.name} does not select it any more: {why}"
            return refused

        return check

    def _note(self, report: SweepReport, decision: Decision, result: Outcome | SweepdError) -> bool:
        """Put it into the report; False if nothing was done for it, for the reason that ends the sweep."""
        if isinstance(result, Outcome):
            report.deleted.append(result)
            return True
        if str(result) == report.error:
            return False
        missed = Missed(decision.task.task_id, result.code, str(result))
        if result.code in _DROPPED:
            report.dropped.append(missed)
            return True
        report.failed.append(missed)
        if isinstance(result, RootUnavailable | CatalogUnavailable):
            report.error = str(result)  # what the whole sweep depends on is gone: begin nothing further
        return True

    def _finish(self, report: SweepReport, started: float) -> None:
        report.finished_at = clock.now()
        seconds = clock.monotonic() - started
        write = _log.info if report.succeeded else _log.error
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
            dropped=len(report.dropped),
            not_attempted=report.not_attempted,
            files=report.files,
            bytes=report.size_bytes,
            freed_bytes=report.freed_bytes,
            seconds=round(seconds, 3),
            error=ErrorCode.LIMIT_EXCEEDED if report.outcome is SweepOutcome.BLOCKED else None,
            reason=report.error,
        )
        self._metrics.sweep(
            report.policy, report.outcome, seconds, report.selected, report.finished_at, success=report.succeeded
        )
        try:
            with self._catalog.write() as session:
                sweeps.ended(session.connection, report.record(report.finished_at), success=report.succeeded)
        except SweepdError as error:
            _log.warning("sweep_record_lost", policy=report.policy, sweep_id=report.sweep_id, reason=str(error))

    def _failed(self, policy: Policy, why: str, started: float) -> None:
        seconds = clock.monotonic() - started
        _log.error(
            "sweep_finished", policy=policy.name, outcome=SweepOutcome.FAILED, reason=why, seconds=round(seconds, 3)
        )
        self._metrics.sweep(policy.name, SweepOutcome.FAILED, seconds, 0, clock.now(), success=False)
