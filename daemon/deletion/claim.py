"""Everything of a deletion up to its commit, for one task or for a group in one transaction.

Under the rows' locks everything is asked again; what may not go drops out, and the rest moves into one entry of the
trash with one manifest, is synced once and commits once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from daemon import log
from daemon.catalog import figures, holds, inventory, ledger, rows, snapshots, tasks
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.database import CommitUncertain
from daemon.catalog.ledger import Counts, Entry, State
from daemon.catalog.tasks import LockedTask
from daemon.deletion import holding, manifest
from daemon.deletion.continuity import Continuity
from daemon.deletion.manifest import Item, Kind, Manifest
from daemon.deletion.models import MOST_REASON, Outcome, Request, What
from daemon.errors import CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError, TaskRefused
from daemon.storage import faults, trash
from daemon.storage.census import NOTHING, Census
from daemon.storage.root import OpenRoot, TaskDirectory
from daemon.storage.trash import MovedSomethingElse, TrashEntry

_log = log.get(__name__)
_MOVING = "moving the task directory into the trash"
_HAS_ROW = "it has a row now"
# What has been moved and committed stays gone; anything else may yet be put back.
_ONWARD = (State.COMMITTED, State.PURGED)


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


@dataclass(slots=True)
class Claimed:
    """What a claim came to. ``moved`` lies in ``entry``, committed; ``results`` is about all other tasks.

    ``deleted_at`` is what the rows say.
    """

    results: dict[str, Outcome | SweepdError] = field(default_factory=dict)
    moved: list[Going] = field(default_factory=list)
    entry: TrashEntry | None = None
    manifest: Manifest | None = None
    deleted_at: datetime | None = None
    locked_elsewhere: list[Request] = field(default_factory=list)


class _NothingToDo(Exception):
    """Ends the transaction without a commit."""


class Claim:
    """One claim; ``run`` once. The entry stays locked until ``stack`` is closed."""

    def __init__(
        self,
        catalog: Catalog,
        continuity: Continuity,
        root: OpenRoot,
        requests: Sequence[Request],
        stack: ExitStack,
    ) -> None:
        self._catalog = catalog
        self._continuity = continuity
        self._root = root
        self._requests = requests
        self._stack = stack
        self._claimed = Claimed()
        self._commit_is_next = False

    def run(self) -> Claimed:
        """Claim the tasks and commit their deletion. Raises SweepdError or OSError if none of them was deleted."""
        claimed = self._claimed
        try:
            with self._catalog.write() as session:
                self._continuity.require(session, self._root)
                self._transaction(session)
                self._commit_is_next = True
        except _NothingToDo:
            self._undo()
        except Exception as error:
            if claimed.entry is not None and self._commit_is_next:
                self._settle(error)
            else:
                self._undo()  # COMMIT was never sent, so nothing can commit behind our back
                raise
        except BaseException:  # Ctrl-C, which can come right after COMMIT: then recovery asks the journal
            if not self._commit_is_next:
                self._undo()
            raise
        if claimed.moved:
            self._continuity.committed(self._root, claimed.moved[-1].item.deletion_id)
        return claimed

    def _transaction(self, session: Session) -> None:
        claimed = self._claimed
        by_id = {request.task_id: request for request in self._requests}
        alone = len(by_id) == 1
        locked = tasks.lock(session.connection, session.tables, list(by_id), self._catalog.running_statuses, wait=alone)
        if not alone:
            left = [task_id for task_id in by_id if task_id not in locked]
            for task_id in tasks.known_ids(session.connection, session.tables, left):
                claimed.locked_elsewhere.append(by_id.pop(task_id))
        going = self._choose(session, by_id, locked)
        if not going:
            raise _NothingToDo
        self._move([one for one in going if one.directory is not None])
        self._keep_those_with_rows(session)
        without_directory = [one for one in going if one.directory is None]
        committed = [*claimed.moved, *without_directory]
        if not committed:
            raise _NothingToDo
        self._commit(session, committed)
        for one in without_directory:
            claimed.results[one.request.task_id] = self._outcome(one, session.now.local.replace(microsecond=0))

    def _choose(self, session: Session, by_id: Mapping[str, Request], locked: Mapping[str, LockedTask]) -> list[Going]:
        """Ask everything again; the tasks that go. The others have their result."""
        claimed = self._claimed
        found = self._catalog.holds(session, claiming=list(by_id))
        in_doubt = self._in_doubt(session)
        guarded = self._guarded(session, by_id, locked)
        seen = figures.signatures(session.connection, [task_id for task_id, r in by_id.items() if r.orphan])
        going = []
        for task_id, request in by_id.items():
            row = locked.get(task_id)
            try:
                directory = self._root.find(task_id)
                hold = holds.holding(found, task_id)
                if hold is not None and (row is not None or directory is not None):
                    raise holding.refused(task_id, hold)
                if request.orphan:
                    self._check_orphan(request, row, seen.get(task_id))
                else:
                    self._check(request, row, directory)
                if task_id in guarded:
                    raise changed(task_id, guarded[task_id])
                if task_id in in_doubt:
                    raise _unsettled(task_id)
            except TaskRefused as error:
                claimed.results[task_id] = error
                continue
            except OSError as error:
                fault = faults.explain(error, task_id, "looking at the task directory")
                if isinstance(fault, RootUnavailable):
                    raise fault from error
                claimed.results[task_id] = fault
                continue
            if directory is None and row is not None and not self._changes_row(request, row):
                assert row.row.updated_at is not None
                stamp = row.row.updated_at.replace(microsecond=0)
                claimed.results[task_id] = Outcome(task_id, None, False, False, NOTHING, stamp)
                continue
            going.append(self._going(request, row, directory, session))
        return going

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

    def _check_orphan(self, request: Request, locked: LockedTask | None, seen: str | None) -> None:
        if locked is not None:
            raise changed(request.task_id, _HAS_ROW)
        if seen is None or self._root.signature(request.task_id) != seen:
            raise changed(request.task_id, "its directory is not what the last scan saw")

    def _keep_those_with_rows(self, session: Session) -> None:
        """A row that does not exist cannot be locked: one that came meanwhile keeps its directory."""
        claimed = self._claimed
        moved = {one.request.task_id: one for one in claimed.moved if one.request.orphan}
        for task_id in tasks.known_ids(session.connection, session.tables, list(moved)):
            assert claimed.entry is not None
            claimed.entry.put_back(moved[task_id].item.deletion_id, task_id)
            claimed.moved.remove(moved[task_id])
            claimed.results[task_id] = changed(task_id, _HAS_ROW)

    def _guarded(
        self, session: Session, by_id: Mapping[str, Request], locked: Mapping[str, LockedTask]
    ) -> dict[str, str]:
        """By task id, why the guards of the requests do not let it go."""
        refused: dict[str, str] = {}
        guards = {id(request.guard): request.guard for request in by_id.values()}
        for key, guard in guards.items():
            if guard is not None:
                asked = [r for r in by_id.values() if id(r.guard) == key and (r.orphan or r.task_id in locked)]
                found = [locked[r.task_id].row if r.task_id in locked else rows.without_row(r.task_id) for r in asked]
                refused.update(guard(session, found) if found else {})
        return refused

    def _in_doubt(self, session: Session) -> set[str]:
        """Tasks of which an earlier deletion is moved, but not known to be committed, or on its way back.

        Until recovery has settled it the row must not say that the directory is gone, and its name must not change
        hands.
        """
        doubtful: dict[str, str] = {}
        found: set[str] = set()
        for content, held in trash.look(self._root):
            back = content.get("kind") == Kind.RESTORE
            for deletion_id, task_id in manifest.names(content):
                if back:
                    found.add(task_id)
                elif deletion_id in held:
                    doubtful[deletion_id] = task_id
        if doubtful:
            records = ledger.find(session.connection, doubtful)
            for deletion_id, task_id in doubtful.items():
                record = records.get(deletion_id)
                if record is None or record.state not in _ONWARD:
                    found.add(task_id)
        return found

    def _changes_row(self, request: Request, locked: LockedTask) -> bool:
        """Whether a task without a directory, in a root proven to be the right one, needs its row changed."""
        return request.what.records or locked.row.directory_exists or locked.row.updated_at is None

    def _going(
        self, request: Request, locked: LockedTask | None, directory: TaskDirectory | None, session: Session
    ) -> Going:
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
            purge_after=None if retain is None else session.now.utc + retain,
            client=request.origin.client,
            request_id=request.origin.request_id,
            plan_digest=request.plan_digest,
            reason=None if request.reason is None else request.reason[:MOST_REASON],
            job_id=request.job_id,
        )
        return Going(request, directory, Item(entry), has_row=locked is not None)

    def _move(self, going: Sequence[Going]) -> None:
        if not going:
            return
        claimed = self._claimed
        entry = claimed.entry = self._stack.enter_context(trash.new_entry(self._root))
        items = tuple(one.item for one in going)
        claimed.manifest = Manifest(Kind.DELETE, entry.entry_id, self._root.root_id, items)
        entry.write_manifest(claimed.manifest.to_json())
        for one in going:
            assert one.directory is not None
            error = _try(partial(entry.take_in, one.directory, one.item.deletion_id), one.request.task_id)
            if error is None:
                claimed.moved.append(one)
            elif isinstance(error, RootUnavailable):
                raise error
            else:
                claimed.results[one.request.task_id] = error
        for one in list(claimed.moved):
            self._glance(entry, one)
        entry.sync()

    def _glance(self, entry: TrashEntry, one: Going) -> None:
        """Count what is small; what cannot even be counted goes back at once."""
        try:
            one.counts = entry.glance(one.item.deletion_id)
        except OSError as error:
            fault = faults.explain(error, one.request.task_id, "counting its files")
            if isinstance(fault, RootUnavailable):
                raise fault from error
            entry.put_back(one.item.deletion_id, one.request.task_id)
            self._claimed.moved.remove(one)
            self._claimed.results[one.request.task_id] = fault

    def _commit(self, session: Session, going: Sequence[Going]) -> None:
        connection, tables = session.connection, session.tables
        with_row = [one for one in going if one.has_row]
        records = [one.request.task_id for one in with_row if one.request.what.records]
        marked = [one for one in with_row if not one.request.what.records]
        waits = [one for one in with_row if one.item.entry.purge_after is not None]
        stamp = session.now.local.replace(microsecond=0)
        snapshots.take_rows(connection, tables, _ids(one for one in waits if one.request.what.records))
        snapshots.take_marks(connection, tables, _ids(one for one in waits if not one.request.what.records), stamp)
        tasks.mark_directory_gone(connection, tables, [one.request.task_id for one in marked], session.now)
        tasks.delete_records(connection, tables, records)
        inventory.forget(connection, [one.request.task_id for one in going if one.directory is not None])
        open_ = [one for one in going if one.stays_open]
        counts = {one.item.deletion_id: journal_counts(one.counts) for one in open_ if one.counts is not None}
        done = [one.item.entry for one in going if not one.stays_open]
        if open_:
            ledger.insert(connection, [one.item.entry for one in open_], State.COMMITTED, counts)
        if done:
            ledger.insert(connection, done, State.PURGED)
        self._claimed.deleted_at = stamp

    def _outcome(self, one: Going, stamp: datetime) -> Outcome:
        entry = one.item.entry
        return Outcome(
            entry.task_id, entry.deletion_id, False, entry.records_deleted, NOTHING, stamp, entry.purge_after
        )

    def _settle(self, error: Exception) -> None:
        """Find out what became of a COMMIT that failed, or whose answer was lost; raises if it did not happen."""
        held = self._claimed.manifest
        assert held is not None
        moved = [one.item.entry for one in self._claimed.moved]
        if not moved:
            self._undo()
            raise error
        try:
            with self._catalog.write() as session:
                states = ledger.abort(session.connection, moved)
        except SweepdError:  # unreachable, or the lost transaction still holds its locks
            raise CatalogUnavailable(
                f"the database went away while {_few(held)} was being deleted; "
                "the directory is safe in the trash, and recovery settles it when the database is back"
            ) from error
        if State.ABORTED in states.values():  # one transaction: all of them or none
            self._undo()
            if isinstance(error, CommitUncertain):
                raise CatalogUnavailable(f"{error}; nothing was deleted, try again") from error
            raise error

    def _undo(self) -> None:
        claimed = self._claimed
        if claimed.entry is None:
            return
        try:
            held = claimed.entry.held()
            for item in claimed.manifest.items if claimed.manifest else ():
                if item.deletion_id in held:
                    claimed.entry.put_back(item.deletion_id, item.task_id)
            claimed.entry.discard()
        except OSError as error:  # recovery goes on with it
            _log.error("undo_deferred", entry_id=claimed.entry.entry_id, reason=str(error))
        claimed.moved = []


def journal_counts(census: Census) -> Counts:
    """A census as the journal keeps it."""
    return Counts(census.files, census.directories, census.size_bytes, census.freed_bytes)


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


def _try(move: Callable[[], None], task_id: str) -> SweepdError | None:
    try:
        move()
    except FileNotFoundError:
        return changed(task_id, "its directory was taken away by somebody else")
    except MovedSomethingElse:
        message = f"{task_id} was swapped for something else while it was being deleted; it was put back"
        return TaskRefused(message, code=ErrorCode.UNSAFE_DIRECTORY)
    except OSError as error:
        return faults.explain(error, task_id, _MOVING)
    return None


def _ids(going: Iterable[Going]) -> dict[str, str]:
    return {one.item.deletion_id: one.request.task_id for one in going}


def _few(held: Manifest) -> str:
    names = [item.task_id for item in held.items]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
