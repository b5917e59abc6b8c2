"""A batch of deletions, group by group: what a request that waits and a job in the background both run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeGuard

from daemon import clock, log
from daemon.catalog.catalog import Catalog
from daemon.catalog.jobs import JobTask
from daemon.deletion.engine import GROUP, Engine
from daemon.deletion.models import Outcome, Request
from daemon.errors import ErrorCode, SweepdError

_log = log.get(__name__)

# The whole catalog or storage root is in trouble: after one of these no other task of a batch can fare better.
_FOR_ALL: Final = frozenset(
    {
        ErrorCode.ROOT_UNAVAILABLE,
        ErrorCode.CATALOG_UNAVAILABLE,
        ErrorCode.CATALOG_NOT_READY,
        ErrorCode.CATALOG_ROLLED_BACK,
    }
)
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_TRIES: Final = 5  # of a task that is in use
# A patient batch can be cancelled between groups: they are to last about so long, in seconds.
_QUICK_S: Final = 0.5
_SLOW_S: Final = 2.0
_FIRST_GROUP: Final = 8

Result = Outcome | Exception
Recall = Callable[[Sequence[str]], Mapping[str, Outcome | SweepdError]]


@dataclass(slots=True)
class BatchReport:
    """What became of each task. ``deleted_at`` is wall time of the pipeline's zone, None if the catalog cannot tell."""

    deleted: list[Outcome] = field(default_factory=list)
    failed: list[tuple[str, Exception]] = field(default_factory=list)
    not_attempted: list[str] = field(default_factory=list)
    deleted_at: datetime | None = None

    @property
    def complete(self) -> bool:
        return not self.failed and not self.not_attempted


class Batch:
    """Deletes in the order given, one group at each ``step``. Raises nothing: its report has to be given.

    ``patient``: it waits for a database or a storage root that is away, and for tasks in use, its groups are small
    enough to be stopped between them, and a bug is raised: whoever drives it knows what to do. ``recall`` tells which
    of its tasks the journal says it has deleted already: asked after trouble, and at first if ``begun_before``.
    """

    def __init__(
        self,
        engine: Engine,
        requests: Sequence[Request],
        *,
        continue_on_error: bool,
        patient: bool = False,
        recall: Recall | None = None,
        begun_before: bool = False,
    ) -> None:
        self._engine = engine
        self._pending = list(requests)
        self._go_on = continue_on_error
        self._patient = patient
        self._recall = recall
        self._in_doubt = begun_before
        self._size = min(_FIRST_GROUP, GROUP) if patient else GROUP
        self._tries: dict[str, int] = {}
        self._seconds: dict[str, float] = {}  # that the last try took, of those to be reported
        self._settling: dict[str, SweepdError] = {}
        self._troubles = 0
        self.report = BatchReport()
        self.at_work: tuple[str, ...] = ()
        """The tasks of the group in hand."""
        self.wait_s = 0.0
        """How long to wait before the next step."""

    @property
    def ended(self) -> bool:
        return not self._pending

    def step(self) -> list[tuple[str, Result | None]]:
        """Delete the next group; what became of tasks thereby, None for those that are not attempted any more."""
        self.wait_s = 0.0
        group, results = self._results()
        self.at_work = ()
        done: list[tuple[str, Result | None]] = []
        trouble: Result | None = None
        for request, result in zip(group, results, strict=True):
            if isinstance(result, Exception) and self._waits(request, result):
                continue
            self._pending.remove(request)
            if trouble is not None and result is trouble:  # nothing was done for it, for the same reason
                done.append(self._left(request))
                continue
            done.append(self._note(request, result))
            if isinstance(result, Exception) and _for_all(result):
                trouble = result
        failed = any(isinstance(result, Exception) for _, result in done)
        if trouble is not None or (failed and not self._go_on):
            done += self.give_up()
        return done

    def give_up(self) -> list[tuple[str, Result | None]]:
        """Leave alone what has not begun; what is returned as by ``step``."""
        rest, self._pending = self._pending, []
        return [
            self._note(request, self._settling[request.task_id])
            if request.task_id in self._settling
            else self._left(request)
            for request in rest
        ]

    def _results(self) -> tuple[list[Request], Sequence[Result]]:
        pending = self._pending
        if self._in_doubt and self._recall is not None:
            try:
                found = self._recall([request.task_id for request in pending])
            except SweepdError as error:
                group = self._next_of(pending)
                return group, [error] * len(group)
            self._settling = self._unsettled(found)
            self._in_doubt = bool(self._settling)
            known = [request for request in pending if request.task_id in found]
            settled = [request for request in known if request.task_id not in self._settling]
            pending = [request for request in pending if request.task_id not in self._settling]
            if settled or not pending:
                known = settled or known
                return known, [found[request.task_id] for request in known]
        group = self._next_of(pending)
        self.at_work = tuple(request.task_id for request in group)
        started = clock.monotonic()
        results: Sequence[Result]
        try:
            results = self._engine.delete_group(group)
        except Exception as error:
            if self._patient:
                raise
            _log.error("batch_deletion_crashed", task_ids=[ascii(r.task_id)[:80] for r in group], exc_info=error)
            results = [error] * len(group)
        seconds = clock.monotonic() - started
        self._seconds |= {request.task_id: seconds for request in group if request.retried}
        if self._patient:
            self._adapt(seconds)
        return group, results

    def _next_of(self, pending: Sequence[Request]) -> list[Request]:
        return list(pending[: self._size if self._go_on else 1])

    def _unsettled(self, found: Mapping[str, Result]) -> dict[str, SweepdError]:
        """Those that are gone and whose end is not recorded yet: the others do not wait for them."""
        if not (self._patient and self._go_on):
            return {}
        return {task_id: result for task_id, result in found.items() if _is_unsettled(result)}

    def _adapt(self, seconds: float) -> None:
        if seconds < _QUICK_S:
            self._size = min(GROUP, self._size * 2)
        elif seconds > _SLOW_S:
            self._size = max(1, self._size // 2)

    def _waits(self, request: Request, error: Exception) -> bool:
        """Whether the task is tried again later. What has become of it by then, the journal is asked first."""
        if not self._patient or not isinstance(error, SweepdError):
            return False
        if error.code in _FOR_ALL:
            if not self.wait_s:
                self.wait_s = min(_FIRST_WAIT_S * 2**self._troubles, _LONGEST_WAIT_S)
                self._troubles = min(self._troubles + 1, 10)
                _log.warning("job_waits", error=error.code, reason=str(error), seconds=self.wait_s)
        elif error.code is ErrorCode.TASK_BUSY:
            if _is_unsettled(error):
                self._settling[request.task_id] = error
            else:
                self._tries[request.task_id] = tries = self._tries.get(request.task_id, 0) + 1
                if tries >= _TRIES:
                    return False
            if self._go_on:  # the others first
                self._pending.remove(request)
                self._pending.append(request)
            if not self._go_on or all(r.task_id in self._tries or r.task_id in self._settling for r in self._pending):
                self.wait_s = _FIRST_WAIT_S * 2
        else:
            return False
        self._in_doubt = True
        return True

    def _note(self, request: Request, result: Result) -> tuple[str, Result]:
        seconds = self._seconds.pop(request.task_id, None)  # None: it was reported, or this process did not try it
        if seconds is not None and isinstance(result, Outcome | SweepdError):
            self._engine.report(request, seconds, result)
        if isinstance(result, Outcome):
            self.report.deleted.append(result)
            self._troubles = 0
        else:
            self.report.failed.append((request.task_id, result))
        return request.task_id, result

    def _left(self, request: Request) -> tuple[str, None]:
        self.report.not_attempted.append(request.task_id)
        return request.task_id, None


def _for_all(error: Exception) -> bool:
    return not isinstance(error, SweepdError) or error.code in _FOR_ALL


def _is_unsettled(result: Result) -> TypeGuard[SweepdError]:
    """Whether the task is gone, and only its end is not recorded yet."""
    return (
        isinstance(result, SweepdError)
        and result.code is ErrorCode.TASK_BUSY
        and bool(result.details.get("deletion_id"))
    )


def latest(results: Iterable[Outcome | JobTask]) -> datetime | None:
    """When the last of them was deleted; None if none was. A task that had been gone before tells the time of that."""
    return max((one.deleted_at for one in results if one.deletion_id and one.deleted_at), default=None)


def finish(report: BatchReport, catalog: Catalog) -> BatchReport:
    """The report with its ``deleted_at``: ``latest``, or now."""
    report.deleted_at = latest(report.deleted) or _now(catalog)
    _log.info(
        "batch_finished",
        requested=len(report.deleted) + len(report.failed) + len(report.not_attempted),
        deleted=len(report.deleted),
        failed=len(report.failed),
        not_attempted=len(report.not_attempted),
    )
    return report


def _now(catalog: Catalog) -> datetime | None:
    try:
        with catalog.read() as session:
            return session.now.stamp
    except SweepdError:
        return None
