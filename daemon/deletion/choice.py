"""Which of the tasks that somebody wants deleted go: asked once more, under the locks of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.catalog import figures, holds, rows, trashed
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.ledger import Entry, Record
from daemon.catalog.tasks import LockedTask
from daemon.deletion import doubt, holding
from daemon.deletion.manifest import Item
from daemon.deletion.models import MOST_REASON, Outcome, Request, What
from daemon.errors import ErrorCode, RootUnavailable, SweepdError, TaskRefused
from daemon.moments import for_machines
from daemon.storage import faults, trash
from daemon.storage.census import NOTHING, Census
from daemon.storage.root import OpenRoot, TaskDirectory

HAS_ROW = "it has a row now"


@dataclass(slots=True)
class Going:
    """One task on its way out. ``directory`` is None if there is only a row to change."""

    request: Request
    directory: TaskDirectory | None
    item: Item
    has_row: bool
    counts: Census | None = None

    @property
    def stays_open(self) -> bool:
        """Whether there is something to purge or to restore after the commit."""
        return self.directory is not None or self.item.entry.purge_after is not None


class Choice:
    """What may go of ``requests``, by task id, whose rows are ``locked``, as of this transaction."""

    def __init__(
        self,
        catalog: Catalog,
        session: Session,
        root: OpenRoot,
        requests: Mapping[str, Request],
        locked: Mapping[str, LockedTask],
    ) -> None:
        self._catalog = catalog
        self._session = session
        self._root = root
        self._requests = requests
        self._locked = locked

    def make(self) -> tuple[list[Going], dict[str, Outcome | SweepdError]]:
        """The tasks that go, and what is to be said of the others: refused, or nothing left to do.

        Raises what the connection raises, and RootUnavailable.
        """
        session, requests = self._session, self._requests
        found = self._catalog.holds(session, claiming=list(requests))
        in_doubt = doubt.tasks_in_doubt(session, self._root)
        guarded = self._guarded()
        seen = figures.signatures(session.connection, [task_id for task_id, r in requests.items() if r.orphan])
        waiting = trashed.directories(
            session.connection, [task_id for task_id, r in requests.items() if r.what.records]
        )
        going: list[Going] = []
        results: dict[str, Outcome | SweepdError] = {}
        for task_id, request in requests.items():
            row = self._locked.get(task_id)
            try:
                directory = self._root.find(task_id)
                hold = holds.holding(found, task_id)
                if hold is not None and (row is not None or directory is not None):
                    raise holding.refused(task_id, hold)
                if request.orphan:
                    self._check_orphan(request, row, directory, seen.get(task_id))
                else:
                    self._check(request, row, directory)
                if directory is None and row is not None and task_id in waiting:
                    self._check_way_back(request, waiting[task_id])
                if task_id in guarded:
                    raise changed(task_id, guarded[task_id])
                if task_id in in_doubt:
                    raise _unsettled(task_id)
            except TaskRefused as error:
                results[task_id] = error
                continue
            except OSError as error:
                fault = faults.explain(error, task_id, "looking at the task directory")
                if isinstance(fault, RootUnavailable):
                    raise fault from error
                results[task_id] = fault
                continue
            if directory is None and row is not None and not self._changes_row(request, row):
                assert row.row.updated_at is not None
                stamp = row.row.updated_at.replace(microsecond=0)
                results[task_id] = Outcome(task_id, None, False, False, NOTHING, stamp)
                continue
            going.append(self._going(request, row, directory))
        return going, results

    def _check(self, request: Request, locked: LockedTask | None, directory: TaskDirectory | None) -> None:
        if locked is None:
            if directory is None or not request.force or request.guard is not None or request.what is What.RECORDS:
                hint = "; its directory has no row: force deletes it all the same" if directory else ""
                raise unknown(request.task_id, hint)
            return
        if locked.running and not request.force:
            status = locked.row.status if locked.row.status in self._catalog.running_statuses else "running"
            raise TaskRefused(
                f"{request.task_id} is running (status {locked.row.status}); wait for it, or force",
                code=ErrorCode.TASK_RUNNING,
                details={"task_id": request.task_id, "current_status": status},
            )
        if request.what is What.RECORDS and directory is not None:
            raise changed(request.task_id, "its directory is there, so its records stay")

    def _check_way_back(self, request: Request, waiting: Record) -> None:
        """A directory that waits in the trash cannot be restored without its records: they stay as long as it does."""
        assert waiting.entry.purge_after is not None
        if request.retain is None or self._session.now.utc + request.retain < waiting.entry.purge_after:
            until = for_machines(waiting.entry.purge_after)
            why = f"its directory waits in the trash until {until}, and could not be restored without its records"
            raise changed(request.task_id, f"{why}; restore or purge it first ({waiting.entry.deletion_id})")

    def _check_orphan(
        self, request: Request, locked: LockedTask | None, directory: TaskDirectory | None, seen: str | None
    ) -> None:
        if locked is not None:
            raise changed(request.task_id, HAS_ROW)
        if directory is None or directory.found.signature != seen:
            raise changed(request.task_id, "its directory is not what the last scan saw")

    def _guarded(self) -> dict[str, str]:
        """By task id, why the guards of the requests do not let it go."""
        locked = self._locked
        refused: dict[str, str] = {}
        guards = {id(request.guard): request.guard for request in self._requests.values()}
        for key, guard in guards.items():
            if guard is not None:
                asked = [r for r in self._requests.values() if id(r.guard) == key and (r.orphan or r.task_id in locked)]
                found = [locked[r.task_id].row if r.task_id in locked else rows.without_row(r.task_id) for r in asked]
                refused.update(guard(self._session, found) if found else {})
        return refused

    def _changes_row(self, request: Request, locked: LockedTask) -> bool:
        """Whether a task without a directory, in a root proven to be the right one, needs its row changed."""
        return request.what.records or locked.row.directory_exists or locked.row.updated_at is None

    def _going(self, request: Request, locked: LockedTask | None, directory: TaskDirectory | None) -> Going:
        nothing_to_keep = directory is None and not (locked is not None and request.what.records)
        retain = None if nothing_to_keep else request.retain
        entry = Entry(
            deletion_id=trash.new_deletion_id(),
            task_id=request.task_id,
            what=request.what,
            trigger=request.trigger,
            initiator=request.initiator,
            policy=request.policy,
            sweep_id=request.sweep_id,
            forced=request.force,
            directory_deleted=directory is not None,
            records_deleted=locked is not None and request.what.records,
            purge_after=None if retain is None else self._session.now.utc + retain,
            client=request.origin.client,
            request_id=request.origin.request_id,
            plan_digest=request.plan_digest,
            reason=None if request.reason is None else request.reason[:MOST_REASON],
            job_id=request.job_id,
        )
        return Going(request, directory, Item(entry), has_row=locked is not None)


def unknown(task_id: str, hint: str) -> TaskRefused:
    """There is no such task."""
    message = f"there is no task {task_id}{hint}"
    return TaskRefused(message, code=ErrorCode.TASK_NOT_FOUND, details={"task_id": task_id})


def changed(task_id: str, why: str) -> TaskRefused:
    """The task is not what it was when somebody decided to delete it."""
    return TaskRefused(f"{task_id} is left alone: {why}", code=ErrorCode.TASK_CHANGED, details={"task_id": task_id})


def _unsettled(task_id: str) -> TaskRefused:
    return TaskRefused(
        f"an earlier deletion of {task_id} was cut off and is being settled; try again in a minute",
        code=ErrorCode.TASK_BUSY,
        details={"task_id": task_id},
    )
