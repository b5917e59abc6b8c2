"""Deletes what a sweep has chosen, in groups on a few threads, and puts what became of it into the report."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cached_property
from itertools import islice

from daemon.catalog import figures
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.rows import TaskRow
from daemon.catalog.selection import Verdict
from daemon.catalog.task_failures import TaskFailure
from daemon.deletion.engine import GROUP, Engine
from daemon.deletion.models import Guard, Origin, Outcome, Request, Trigger, What
from daemon.errors import CatalogRolledBack, CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError
from daemon.policy.models import PolicySet
from daemon.storage.faults import is_of_full_disk
from daemon.sweep.limits import ERRORS_FROM, too_many_errors
from daemon.sweep.plan import Decision, decide
from daemon.sweep.report import Missed, Progress, SweepReport

NO_ROOM = (
    "the file system is full, and what is moved into the trash frees nothing: purge what waits there, or let the "
    "policy delete at once (`action: {delete: directory}`)"
)
_DROPPED = {ErrorCode.TASK_CHANGED, ErrorCode.TASK_RUNNING, ErrorCode.TASK_NOT_FOUND, ErrorCode.TASK_HELD}


class Runner:
    """The deletions of one sweep. ``known``: what failed in earlier ones; ``stop``: begin no further group."""

    def __init__(
        self,
        catalog: Catalog,
        engine: Engine,
        report: SweepReport,
        policies: PolicySet,
        initiator: str,
        origin: Origin,
        progress: Progress,
        *,
        known: Mapping[str, TaskFailure],
        workers: int,
        stop: threading.Event,
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._report = report
        self._policies = policies
        self._initiator = initiator
        self._origin = origin
        self._progress = progress
        self.known = known
        self._workers = workers
        self._stop = stop

    @property
    def ended(self) -> bool:
        """Whether nothing further may begin: the daemon stops, what the sweep depends on is gone, or too much fails."""
        return self._stop.is_set() or self._report.lost or self._report.too_many_errors

    def known_last(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Return these in their order, but what failed before behind the others: it keeps none of them waiting."""
        return sorted(decisions, key=lambda decision: decision.task.task_id in self.known)

    def delete(self, chosen: Sequence[Decision]) -> None:
        """Delete these in their order; the report gets what became of each, and how many were not attempted."""
        attempted = 0
        for group in self._groups(chosen):
            for decision, result in group:
                attempted += self._note(decision, result)
                self._progress(self._report)
            self._count_errors()
        self._report.not_attempted += len(chosen) - attempted

    def _groups(self, chosen: Sequence[Decision]) -> Iterator[list[tuple[Decision, Outcome | SweepdError]]]:
        """In the order of the plan, at most as many groups ahead of the answers as there are threads."""
        guard = self._guard(chosen)
        # Small sweeps are spread over the threads too; where failures are counted, few may fail before they are.
        limits = self._report.plan.policy.limits
        most = GROUP if limits is None or limits.max_error_percent is None else ERRORS_FROM
        size = max(1, min(most, len(chosen) // self._workers))
        queue = iter([chosen[start : start + size] for start in range(0, len(chosen), size)])
        pending: dict[Future[list[Outcome | SweepdError]], Sequence[Decision]] = {}
        with ThreadPoolExecutor(self._workers, thread_name_prefix="sweep") as pool:
            while True:
                if not self.ended:
                    for group in islice(queue, self._workers - len(pending)):
                        requests = [self._request(decision, guard) for decision in group]
                        pending[pool.submit(self._engine.delete_group, requests)] = group
                if not pending:
                    return
                for done in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield list(zip(pending.pop(done), done.result(), strict=True))

    def _request(self, decision: Decision, guard: Guard) -> Request:
        policy = self._report.plan.policy
        return Request(
            task_id=decision.task.task_id,
            what=What(policy.action.what),
            trigger=Trigger.SWEEP,
            initiator=self._initiator,
            policy=policy.name,
            sweep_id=self._report.sweep_id,
            guard=guard,
            retain=policy.action.retain,
            in_place=policy.action.in_place is True,
            orphan=policy.source == "orphans",
            origin=self._origin,
            plan_digest=self._plan_digest,
            reason=decision.reason,
        )

    @cached_property
    def _plan_digest(self) -> str:
        return self._report.plan.digest

    def _guard(self, chosen: Sequence[Decision]) -> Guard:
        """Under the rows' locks: unchanged since the plan, and still selected by the policy."""
        policy = self._report.plan.policy
        planned = {decision.task.task_id: decision for decision in chosen}

        def check(session: Session, rows: Sequence[TaskRow]) -> dict[str, str]:
            changed = [row.task_id for row in rows if row != planned[row.task_id].task]
            if policy.source == "orphans":
                seen = figures.signatures(session.connection, [row.task_id for row in rows])
                changed += [task_id for task_id in seen if seen[task_id] != planned[task_id].directory]
            refused = dict.fromkeys(changed, "it has changed since the plan")
            asked = [row.task_id for row in rows if row.task_id not in refused]
            # whatever failed before was not planned, or a person has reviewed it
            selection = self._catalog.select(session, policy, self._policies, backoff=False)
            judged = selection.judge_some(session.connection, asked)
            for task_id in asked:
                if task_id not in judged:
                    refused[task_id] = f"policy {policy.name} does not select it any more"
                elif judged[task_id].verdict is not Verdict.SELECTED:
                    why = decide(judged[task_id], selection).reason
                    refused[task_id] = f"policy {policy.name} does not select it any more: {why}"
            return refused

        return check

    def _note(self, decision: Decision, result: Outcome | SweepdError) -> bool:
        """Put it into the report; False if nothing was done for it, for the reason that ends the sweep."""
        report = self._report
        if isinstance(result, Outcome):
            report.deleted.append(result)
            return True
        if report.lost and (str(result) == report.error or is_of_full_disk(result)):
            return False
        missed = Missed(decision.task.task_id, result.code, str(result))
        if result.code in _DROPPED:
            report.dropped.append(missed)
            return True
        if isinstance(result, RootUnavailable | CatalogUnavailable | CatalogRolledBack):
            report.failed.append(missed)
            report.error = str(result)  # what the whole sweep depends on is gone: begin nothing further
            report.lost = True
            return True
        if is_of_full_disk(result):
            report.failed.append(replace(missed, own=False))
            report.error = NO_ROOM  # the others would meet the same, and it is no fault of these tasks
            report.lost = True
            return True
        before = self.known.get(missed.task_id)
        again = before is not None and before.code == missed.code
        (report.failed_again if again else report.failed).append(missed)
        return True

    def _count_errors(self) -> None:
        report = self._report
        failed = len(report.failed)
        why = too_many_errors(report.plan.policy.limits, failed, failed + len(report.deleted))
        if why is not None and not report.lost and not report.too_many_errors:
            report.error = why
            report.too_many_errors = True
            report.limits.append("max_error_percent")
