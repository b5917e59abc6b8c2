"""The undo: the protocol of a deletion the other way round.

An entry of the trash says what is on its way back; under the rows' locks they are put back and the directory moves
to its name, which has to be free; the commit is the end of it. Cut off before, recovery sends the directory back to
wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from daemon import log
from daemon.catalog import ledger, snapshots, tasks, trashed
from daemon.catalog.catalog import Session
from daemon.catalog.database import CommitUncertain, until_free
from daemon.catalog.ledger import Record, State
from daemon.deletion import doubt
from daemon.deletion.manifest import Item, Kind, Manifest
from daemon.deletion.purge import Tools
from daemon.deletion.retention import check_waits, not_restorable
from daemon.errors import CatalogUnavailable, ErrorCode, SweepdError, TaskRefused
from daemon.storage import faults, retained, trash
from daemon.storage.names import check_task_id
from daemon.storage.root import OpenRoot, StorageRoot, TaskDirectory
from daemon.storage.trash import TrashEntry, is_deletion_id

_log = log.get(__name__)
_DOING = "bringing the task directory back from the trash"
_TAKEN = "its name in the storage root is taken"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    task_id: str
    deletion_id: str
    directory: bool
    records: bool


class Restorer:
    """Restores deletions of one storage root. Blocking, and safe beside everything else."""

    def __init__(self, root: StorageRoot, tools: Tools) -> None:
        self._root = root
        self._tools = tools

    def restore_task(self, task_id: str, initiator: str) -> list[Restored]:
        """Undo the latest deletion of a task, and with one of its records alone also that of its directory before.

        Raises SweepdError: NOT_RESTORABLE if none of its deletions waits, and as ``restore`` does.
        """
        check_task_id(task_id)
        with self._reporting(initiator, task_ids=[task_id]):
            chain = self._chain(task_id)
        return [self.restore(record.entry.deletion_id, initiator) for record in chain]

    def _chain(self, task_id: str) -> list[Record]:
        """The deletions to undo, one after the other: the latest first, and that of the directory at the end."""
        with self._tools.catalog.read() as session:
            waiting = trashed.retained(session.connection, task_id=task_id)
            last = None if waiting else ledger.last_of_task(session.connection, task_id)
        if not waiting:
            what = "nothing of it was ever deleted"
            if last is not None:
                what = f"its last deletion is {'being purged' if last.state is State.COMMITTED else last.state}"
            raise TaskRefused(
                f"no deletion of {task_id} waits in the trash: {what}",
                code=ErrorCode.NOT_RESTORABLE,
                details={"task_id": task_id},
            )
        chain: list[Record] = []
        # by the database's clock: an id has the time of the machine that made it
        for record in sorted(waiting, key=lambda one: (one.committed_at, one.entry.deletion_id), reverse=True):
            chain.append(record)
            if record.entry.directory_deleted:
                with self._root.open() as root:  # before its rows are back
                    if root.has(task_id):
                        raise _conflict(task_id, _TAKEN)
                break
        return chain

    def restore(self, deletion_id: str, initiator: str, *, task_id: str | None = None) -> Restored:
        """Undo one deletion, of ``task_id`` if that is given: directory and rows are what they were.

        Raises SweepdError, and then nothing has changed: DELETION_NOT_FOUND, NOT_RESTORABLE (purged, restored, never
        retained), RESTORE_CONFLICT (the name is taken, or the rows do not fit any more), TASK_BUSY.
        """
        with self._reporting(initiator, deletion_id=faults.printable(deletion_id[:64])):
            result = self._restore(deletion_id, initiator, task_id)
        self._tools.metrics.deletions.restored("success")
        _log.info(
            "restore_finished",
            outcome="success",
            deletion_id=deletion_id,
            task_ids=[result.task_id],
            initiator=initiator,
            directory=result.directory,
            records=result.records,
        )
        return result

    @contextmanager
    def _reporting(self, initiator: str, **about: object) -> Iterator[None]:
        try:
            yield
        except SweepdError as error:
            outcome = "refused" if isinstance(error, TaskRefused) else "failed"
            self._tools.metrics.deletions.restored(outcome)
            _log.warning(
                "restore_finished", outcome=outcome, initiator=initiator, error=error.code, reason=str(error), **about
            )
            raise

    def _restore(self, deletion_id: str, initiator: str, task_id: str | None) -> Restored:
        found = None
        if is_deletion_id(deletion_id):  # PostgreSQL cannot be asked for everything that a client may send
            with self._tools.catalog.read() as session:
                found = ledger.find(session.connection, [deletion_id]).get(deletion_id)
        if found is not None and task_id not in (None, found.entry.task_id):
            found = None
        record = check_waits(found, deletion_id)
        return until_free(partial(self._bring_back, record, initiator))

    def _bring_back(self, record: Record, initiator: str) -> Restored:
        with ExitStack() as stack:
            try:
                root = stack.enter_context(self._root.open())
                directory = self._waiting(root, record)
                entry = stack.enter_context(trash.new_entry(root, frees=False))
                return _Return(self._tools, root, entry, record, directory, initiator).run()
            except OSError as error:
                fault = faults.explain(error, record.entry.task_id, _DOING)
                self._root.note(fault)
                raise fault from error

    def _waiting(self, root: OpenRoot, record: Record) -> TaskDirectory | None:
        entry = record.entry
        if not entry.directory_deleted:
            return None
        directory = retained.find(root, entry.deletion_id, entry.task_id)
        if directory is None:
            if any(entry.deletion_id in begun for _, begun in trash.look_for_begun(root)):
                raise not_restorable(record, "being purged, and its purge has begun")
            raise _not_there(entry.task_id)
        return directory


class _Return:
    """One restore, from its entry to its commit."""

    def __init__(
        self,
        tools: Tools,
        root: OpenRoot,
        entry: TrashEntry,
        record: Record,
        directory: TaskDirectory | None,
        initiator: str,
    ) -> None:
        self._tools = tools
        self._root = root
        self._entry = entry
        self._record = record
        self._directory = directory
        self._initiator = initiator
        self._task_id = record.entry.task_id
        self._moving = False
        self._commit_is_next = False

    def run(self) -> Restored:
        entry = self._record.entry
        try:
            item = Item(entry, None if self._directory is None else self._directory.found.identity)
            held = Manifest(Kind.RESTORE, self._entry.entry_id, self._root.root_id, (item,))
            self._entry.write_manifest(held.to_json())
            with self._tools.catalog.write() as session:
                self._tools.continuity.require(session, self._root)
                self._transaction(session)
                self._commit_is_next = True
        except Exception as error:
            if self._commit_is_next:
                self._settle(error)
            else:
                self._undo()
                raise
        except BaseException:  # Ctrl-C, which can come right after COMMIT: then recovery asks the journal
            if not self._commit_is_next:
                self._undo()
            raise
        try:
            self._entry.discard()
        except OSError as error:  # it is committed, and the entry empty
            _log.error("undo_deferred", entry_id=self._entry.entry_id, reason=str(error))
        return Restored(self._task_id, entry.deletion_id, self._directory is not None, entry.records_deleted)

    def _transaction(self, session: Session) -> None:
        connection, entry = session.connection, self._record.entry
        # First the task's row, as a deletion does, then the journal's: two at once take turns.
        has_row = bool(tasks.lock(connection, session.tables, [self._task_id], ()))
        record = check_waits(
            ledger.find(connection, [entry.deletion_id], lock=True).get(entry.deletion_id), entry.deletion_id
        )
        # the same restore twice is no doubt: the journal's lock decides
        if self._task_id in doubt.tasks_in_doubt(session, self._root, restoring=entry.deletion_id):
            raise TaskRefused(
                f"another deletion of {self._task_id} is under way; try again in a minute",
                code=ErrorCode.TASK_BUSY,
                details={"task_id": self._task_id},
            )
        tasks.wait_for_nothing(connection)
        if record.entry.records_deleted:
            snapshots.put_back_rows(connection, entry.deletion_id, self._task_id)
        elif snapshots.has_one(connection, entry.deletion_id):
            snapshots.put_back_mark(connection, session.tables, entry.deletion_id, self._task_id, session.now.local)
        elif has_row:
            raise _conflict(self._task_id, "it had no row, and a task of that name has one now")
        ledger.restored(connection, entry.deletion_id, self._initiator)
        if self._directory is not None:
            self._moving = True
            try:
                retained.bring_back(self._root, entry.deletion_id, self._task_id)
            except FileExistsError:
                raise _conflict(self._task_id, _TAKEN) from None
            except FileNotFoundError:  # a purge has taken it since it was found
                raise _not_there(self._task_id) from None

    def _settle(self, error: Exception) -> None:
        """Find out what became of a COMMIT that failed, or whose answer was lost; raises if it did not happen."""
        deletion_id = self._record.entry.deletion_id
        try:
            with self._tools.catalog.write() as session:  # the lock waits for a COMMIT under way
                record = ledger.find(session.connection, [deletion_id], lock=True).get(deletion_id)
        except SweepdError:
            raise CatalogUnavailable(
                f"the database went away while {self._task_id} was being restored; recovery settles it when it is back"
            ) from error
        if record is None or record.state is not State.RESTORED:
            self._undo()
            if isinstance(error, CommitUncertain):
                raise CatalogUnavailable(f"{error}; nothing was restored, try again") from error
            raise error

    def _undo(self) -> None:
        try:
            if self._moving and self._directory:
                is_it = self._directory.found.is_at
                retained.send_back(self._root, self._task_id, self._record.entry.deletion_id, is_it)
            self._entry.discard()
        except OSError as error:  # recovery goes on with it
            _log.error("undo_deferred", entry_id=self._entry.entry_id, reason=str(error))


def _not_there(task_id: str) -> TaskRefused:
    return TaskRefused(
        f"the directory of {task_id} is not in the trash: it is being purged, or still on its way there; "
        "try again in a minute",
        code=ErrorCode.TASK_BUSY,
        details={"task_id": task_id},
    )


def _conflict(task_id: str, why: str) -> TaskRefused:
    return TaskRefused(
        f"{task_id} cannot be restored: {why}; nothing was changed",
        code=ErrorCode.RESTORE_CONFLICT,
        details={"task_id": task_id},
    )
