"""The protocol of a deletion: claim under lock, manifest, move into the trash, commit, census, purge.

Wherever it is cut off, ``recovery`` finishes or undoes it. Before the commit everything can be put back; after it
everything is carried forward.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime

from daemon import clock, log
from daemon.catalog import ledger, tasks
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.database import CommitUncertain
from daemon.catalog.tasks import LockedTask
from daemon.deletion.manifest import Manifest
from daemon.deletion.models import Outcome, Request, What
from daemon.deletion.purge import purge
from daemon.errors import CatalogUnavailable, ErrorCode, SweepdError, TaskRefused
from daemon.metrics import Metrics
from daemon.storage import census, faults, trash
from daemon.storage.names import check_task_id
from daemon.storage.root import OpenRoot, StorageRoot, TaskDirectory
from daemon.storage.trash import MovedSomethingElse, TrashEntry

_log = log.get(__name__)


class Engine:
    """Deletes tasks of one storage root and one catalog. Blocking, and safe to call from many threads and processes."""

    def __init__(self, root: StorageRoot, catalog: Catalog, metrics: Metrics) -> None:
        self._root = root
        self._catalog = catalog
        self._metrics = metrics

    def delete(self, request: Request) -> Outcome:
        """Delete one task. Raises SweepdError if it was not deleted, or not completely: the message says which."""
        started = clock.monotonic()
        try:
            outcome = self._delete(request)
        except SweepdError as error:
            self._report(request, started, error=error)
            raise
        self._report(request, started, outcome=outcome)
        return outcome

    def _delete(self, request: Request) -> Outcome:
        check_task_id(request.task_id)
        doing = "moving the task directory into the trash"
        with ExitStack() as stack:
            try:
                root = stack.enter_context(self._root.open())
                claim = _Claim(self._catalog, root, request, stack)
                settled = claim.run()
                if settled is not None:
                    return settled
                doing = "removing the files, already out of the way in the trash,"
                counts = purge(claim.entry, claim.manifest, self._catalog, self._metrics)
            except MovedSomethingElse:
                message = (
                    f"{request.task_id} was swapped for something else while it was being deleted; it was put back"
                )
                raise TaskRefused(message, code=ErrorCode.UNSAFE_DIRECTORY) from None
            except OSError as error:
                raise faults.explain(error, request.task_id, doing) from error
        return Outcome(
            task_id=request.task_id,
            deletion_id=claim.manifest.deletion_id,
            directory_deleted=True,
            records_deleted=claim.manifest.records_deleted,
            census=counts,
            deleted_at=claim.deleted_at,
        )

    def _report(
        self, request: Request, started: float, *, outcome: Outcome | None = None, error: SweepdError | None = None
    ) -> None:
        seconds = clock.monotonic() - started
        refused = isinstance(error, TaskRefused) and error.code not in (
            ErrorCode.DELETION_FAILED,
            ErrorCode.PERMISSION_DENIED,
        )
        result = "success" if outcome else "refused" if refused else "failed"
        self._metrics.deletion(request.trigger, result, seconds)
        write = _log.info if outcome else _log.warning if refused else _log.error
        write(
            "deletion_finished",
            outcome=result,
            trigger=request.trigger,
            initiator=request.initiator,
            policy=request.policy,
            sweep_id=request.sweep_id,
            task_ids=[faults.printable(request.task_id[:128])],
            what=request.what,
            force=request.force,
            deletion_id=outcome.deletion_id if outcome else None,
            directory_deleted=bool(outcome and outcome.directory_deleted),
            records_deleted=bool(outcome and outcome.records_deleted),
            files=outcome.census.files if outcome else 0,
            bytes=outcome.census.size_bytes if outcome else 0,
            freed_bytes=outcome.census.freed_bytes if outcome else 0,
            seconds=round(seconds, 4),
            error=error.code if error else None,
            reason=str(error) if error else None,
        )


class _Claim:
    """Everything up to the commit. Afterwards ``entry`` holds the directory and ``manifest`` says what it is."""

    entry: TrashEntry
    manifest: Manifest
    deleted_at: datetime

    def __init__(self, catalog: Catalog, root: OpenRoot, request: Request, stack: ExitStack) -> None:
        self._catalog = catalog
        self._root = root
        self._request = request
        self._stack = stack
        self._begun = False
        self._commit_is_next = False

    def run(self) -> Outcome | None:
        """Claim the task and commit its deletion. An Outcome means that there was no directory, and all is done."""
        try:
            with self._catalog.write() as session:
                settled = self._transaction(session)
                self._commit_is_next = True
            return settled
        except Exception as error:
            if self._begun and self._commit_is_next:
                self._settle(error)
                return None
            self._undo()  # COMMIT was never sent, so nothing can commit behind our back
            raise
        except BaseException:  # Ctrl-C, which can come right after COMMIT: then recovery asks the journal
            if not self._commit_is_next:
                self._undo()
            raise

    def _transaction(self, session: Session) -> Outcome | None:
        request = self._request
        locked = tasks.lock(session.connection, session.tables, request.task_id, self._catalog.running_statuses)
        directory = self._root.find(request.task_id)
        self._check(session, locked, directory)
        self._check_trash(session)
        if directory is None and locked is not None:
            return self._without_directory(session, locked)
        if directory is None:
            raise _unknown(request.task_id, "")
        self.entry = self._stack.enter_context(trash.new_entry(self._root))
        self.manifest = Manifest.of(request, self.entry.deletion_id, self._root.root_id, has_row=locked is not None)
        self._begun = True
        self.entry.write_manifest(self.manifest.to_json())
        try:
            self.entry.take_in(directory)
        except FileNotFoundError:
            raise _changed(request.task_id, "its directory was taken away by somebody else") from None
        self.deleted_at = self._change_rows(session) if locked else session.now.local.replace(microsecond=0)
        ledger.insert(session.connection, self.manifest.ledger_entry(), ledger.State.COMMITTED)
        return None

    def _check(self, session: Session, locked: LockedTask | None, directory: TaskDirectory | None) -> None:
        request = self._request
        if locked is None:
            if directory is None or not request.force or request.guard is not None or request.what is What.RECORDS:
                hint = "; its directory has no row: force deletes it all the same" if directory else ""
                raise _unknown(request.task_id, hint)
            return
        if locked.running and not request.force:
            status = locked.row.status if locked.row.status in self._catalog.running_statuses else "running"
            raise TaskRefused(
                f"{request.task_id} is running (status {locked.row.status}); wait for it, or force",
                code=ErrorCode.TASK_RUNNING,
                details={"task_id": request.task_id, "current_status": status},
            )
        if request.guard is not None:
            request.guard(session, locked.row)
        if request.what is What.RECORDS and directory is not None:
            raise _changed(request.task_id, "its directory is there, so its records stay")

    def _check_trash(self, session: Session) -> None:
        """Refuse while an earlier deletion is moved, but not known to be committed: recovery may yet put it back.

        Until then the row must not say that the directory is gone, and its name must not change hands.
        """
        task_id = self._request.task_id
        onward = (ledger.State.COMMITTED, ledger.State.PURGED)
        if any(ledger.find(session.connection, found) not in onward for found in trash.holding(self._root, task_id)):
            raise TaskRefused(
                f"an earlier deletion of {task_id} was cut off and is being settled; try again in a minute",
                code=ErrorCode.TASK_BUSY,
                details={"task_id": task_id},
            )

    def _without_directory(self, session: Session, locked: LockedTask) -> Outcome:
        """The row is there, the directory is not, and the root is proven to be the right one: mend the row."""
        request = self._request
        recorded = locked.row.updated_at
        if request.what.records or locked.row.directory_exists or recorded is None:
            deletion_id = trash.new_deletion_id()
            manifest = Manifest.of(request, deletion_id, self._root.root_id, has_row=True, has_directory=False)
            stamp = self._change_rows(session)
            ledger.insert(session.connection, manifest.ledger_entry(), ledger.State.PURGED)
        else:
            deletion_id, stamp = None, recorded.replace(microsecond=0)
        return Outcome(request.task_id, deletion_id, False, request.what.records, census.NOTHING, stamp)

    def _change_rows(self, session: Session) -> datetime:
        if self._request.what.records:
            tasks.delete_records(session.connection, session.tables, self._request.task_id)
            return session.now.local.replace(microsecond=0)
        return tasks.mark_directory_gone(session.connection, session.tables, self._request.task_id, session.now)

    def _settle(self, error: Exception) -> None:
        """Find out what became of a COMMIT that failed, or whose answer was lost; raises if it did not happen."""
        try:
            with self._catalog.write() as session:
                state = ledger.abort(session.connection, self.manifest.ledger_entry())
        except SweepdError:  # unreachable, or the lost transaction still holds its locks
            raise CatalogUnavailable(
                f"the database went away while {self._request.task_id} was being deleted; "
                "its directory is safe in the trash, and recovery settles it when the database is back"
            ) from error
        if state is ledger.State.ABORTED:
            self._undo()
            if isinstance(error, CommitUncertain):
                raise CatalogUnavailable(f"{error}; nothing was deleted, try again") from error
            raise error

    def _undo(self) -> None:
        if not self._begun:
            return
        try:
            if self.entry.has_data():
                self.entry.put_back(self._request.task_id)
            self.entry.discard()
        except OSError as error:  # recovery goes on with it
            _log.error("undo_deferred", task_id=self._request.task_id, reason=str(error))


def _unknown(task_id: str, hint: str) -> TaskRefused:
    message = f"there is no task {task_id}{hint}"
    return TaskRefused(message, code=ErrorCode.TASK_NOT_FOUND, details={"task_id": task_id})


def _changed(task_id: str, why: str) -> TaskRefused:
    return TaskRefused(f"{task_id} is left alone: {why}", code=ErrorCode.TASK_CHANGED, details={"task_id": task_id})
