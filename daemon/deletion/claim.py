"""Everything of a deletion up to its commit, for one task or for a group in one transaction.

Under the rows' locks everything is asked again; what may not go drops out, and the rest moves into one entry of the
trash with one manifest, is synced once and commits once.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime

from daemon import log
from daemon.catalog import inventory, ledger, snapshots, tasks
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.database import CommitUncertain, until_free
from daemon.catalog.ledger import Counts, Entry, State
from daemon.deletion.choice import HAS_ROW, Choice, Going, changed
from daemon.deletion.continuity import Continuity
from daemon.deletion.manifest import Kind, Manifest
from daemon.deletion.models import Outcome, Request
from daemon.errors import CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError, TaskRefused
from daemon.storage import faults, reserve, trash
from daemon.storage.census import NOTHING, Census
from daemon.storage.root import OpenRoot
from daemon.storage.standing import Busy, Standing, Unprovable, stand
from daemon.storage.trash import MovedSomethingElse, TrashEntry

_log = log.get(__name__)
_MOVING = "moving the task directory into the trash"


@dataclass(slots=True)
class Claimed:
    """What a claim came to. ``moved`` lies in ``entry``, committed; ``results`` is about all other tasks.

    ``standing`` is committed as well, and is to be removed in its place. ``again`` are to be tried one by one.
    ``deleted_at`` is what the rows say.
    """

    results: dict[str, Outcome | SweepdError] = field(default_factory=dict)
    moved: list[Going] = field(default_factory=list)
    entry: TrashEntry | None = None
    manifest: Manifest | None = None
    deleted_at: datetime | None = None
    standing: list[tuple[Going, Standing]] = field(default_factory=list)
    again: list[Request] = field(default_factory=list)

    @property
    def gone(self) -> list[Going]:
        """Those with a directory that is committed to go."""
        return [*self.moved, *(one for one, _ in self.standing)]


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
        return until_free(self._run, lambda: self._claimed.entry is None)  # nothing has been done yet

    def _run(self) -> Claimed:
        claimed = self._claimed = Claimed()
        try:
            with self._catalog.write() as session:
                self._continuity.require(session, self._root)
                self._transaction(session)
                self._commit_is_next = True
        except _NothingToDo:
            self._undo()
        except Exception as error:
            if claimed.gone and self._commit_is_next:
                self._settle(error)
            else:
                self._undo()  # COMMIT was never sent, so nothing can commit behind our back
                raise
        except BaseException:  # Ctrl-C, which can come right after COMMIT: then recovery asks the journal
            if not self._commit_is_next:
                self._undo()
            raise
        if claimed.gone:
            self._continuity.committed(self._root, claimed.gone[-1].item.deletion_id)
        return claimed

    def _transaction(self, session: Session) -> None:
        claimed = self._claimed
        by_id = {request.task_id: request for request in self._requests}
        alone = len(by_id) == 1
        locked = tasks.lock(session.connection, session.tables, list(by_id), self._catalog.running_statuses)
        if not alone:
            left = [task_id for task_id in by_id if task_id not in locked]
            for task_id in tasks.known_ids(session.connection, session.tables, left):
                claimed.again.append(by_id.pop(task_id))
        going, results = Choice(self._catalog, session, self._root, by_id, locked).make()
        claimed.results.update(results)
        if not going:
            raise _NothingToDo
        self._move([one for one in going if one.directory is not None])
        self._keep_those_with_rows(session)
        without_directory = [one for one in going if one.directory is None]
        committed = [*claimed.gone, *without_directory]
        if not committed:
            raise _NothingToDo
        self._commit(session, committed)
        for one in without_directory:
            claimed.results[one.request.task_id] = self._outcome(one, session.now.stamp)

    def _keep_those_with_rows(self, session: Session) -> None:
        """A row that does not exist cannot be locked: one that came meanwhile keeps its directory."""
        claimed = self._claimed
        moved = {one.request.task_id: one for one in claimed.moved if one.request.orphan}
        for task_id in tasks.known_ids(session.connection, session.tables, list(moved)):
            assert claimed.entry is not None
            claimed.entry.put_back(moved[task_id].item.deletion_id, task_id)
            claimed.moved.remove(moved[task_id])
            claimed.results[task_id] = changed(task_id, HAS_ROW)
        orphans = {one.request.task_id for one, _ in claimed.standing if one.request.orphan}
        for task_id in tasks.known_ids(session.connection, session.tables, list(orphans)):
            claimed.standing = [(one, where) for one, where in claimed.standing if one.request.task_id != task_id]
            claimed.results[task_id] = changed(task_id, HAS_ROW)

    def _move(self, going: Sequence[Going]) -> None:
        if not going:
            return
        claimed = self._claimed
        frees = any(one.item.entry.purge_after is None for one in going)
        try:
            entry = claimed.entry = self._stack.enter_context(trash.new_entry(self._root, frees=frees))
            items = tuple(one.item for one in going)
            claimed.manifest = Manifest(Kind.DELETE, entry.entry_id, self._root.root_id, items)
            entry.write_manifest(claimed.manifest.to_json())
        except OSError as error:
            if not reserve.is_full(error):
                raise
            self._drop_entry()
            self._stand_one(going, error)
            return
        for one in going:
            self._take_in(entry, one)
        self._root.let_go()
        if not claimed.moved:
            self._drop_entry()
            return
        for one in list(claimed.moved):
            self._glance(entry, one)
        entry.sync()

    def _take_in(self, entry: TrashEntry, one: Going) -> None:
        assert one.directory is not None
        claimed, task_id = self._claimed, one.request.task_id
        try:
            entry.take_in(one.directory, one.item.deletion_id)
        except OSError as error:
            unmovable = error.errno == errno.EXDEV and self._root.stands_on_it(one.directory)
            if reserve.is_full(error) or (unmovable and one.request.in_place):
                self._stand(one, error)
                return
            if unmovable:
                claimed.results[task_id] = _unmovable(task_id)
                return
            failed = _explain(error, task_id)
            if isinstance(failed, RootUnavailable):
                raise failed from error
            claimed.results[task_id] = failed
        except MovedSomethingElse:
            message = f"{task_id} was swapped for something else while it was being deleted; it was put back"
            claimed.results[task_id] = TaskRefused(message, code=ErrorCode.UNSAFE_DIRECTORY)
        else:
            claimed.moved.append(one)

    def _stand_one(self, going: Sequence[Going], why: OSError) -> None:
        """Without room for an entry one directory goes in its place, and gives the others the room they need."""
        for one in going:
            if any(not isinstance(result, SweepdError) for result in self._claimed.results.values()):
                break
            if self._claimed.standing:
                self._claimed.again.append(one.request)
            else:
                self._stand(one, why)

    def _stand(self, one: Going, why: OSError) -> None:
        """Leave a directory in its place until it is removed there. What is to wait cannot."""
        claimed, task_id = self._claimed, one.request.task_id
        assert one.directory is not None
        if one.item.entry.purge_after is not None:
            claimed.results[task_id] = _cannot_wait(task_id, why)
            return
        try:
            standing = stand(self._root, one.item.deletion_id, task_id, layered=why.errno == errno.EXDEV)
            self._stack.callback(standing.close)
            if not one.directory.found.is_at(self._root.fd, task_id):
                raise FileNotFoundError(task_id)
            one.counts = standing.glance()
        except Busy:
            message = f"somebody has locked the directory of {task_id}; try again when they are done"
            claimed.results[task_id] = TaskRefused(message, code=ErrorCode.TASK_BUSY, details={"task_id": task_id})
        except Unprovable:
            claimed.results[task_id] = _explain(why, task_id)
        except OSError as error:
            claimed.results[task_id] = _explain(error, task_id)
        else:
            claimed.standing.append((one, standing))

    def _drop_entry(self) -> None:
        """Nothing has been moved into it: there is no entry any more."""
        entry, self._claimed.entry = self._claimed.entry, None
        if entry is not None:
            with suppress(OSError):  # recovery removes it
                entry.discard()

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
        connection, tables, now = session.connection, session.tables, session.now
        with_row = [one for one in going if one.has_row]
        records = [one.request.task_id for one in with_row if one.request.what.records]
        kept = [one.request.task_id for one in with_row if not one.request.what.records]
        standing = {one.request.task_id for one, _ in self._claimed.standing}
        # whose directory was made anew meanwhile: that one is there, as the row says
        marked = [task_id for task_id in kept if task_id in standing or not self._root.is_back(task_id)]
        waits = [one for one in with_row if one.item.entry.purge_after is not None]
        snapshots.take_rows(connection, tables, _ids(one for one in waits if one.request.what.records))
        snapshots.take_marks(connection, tables, _ids(one for one in waits if not one.request.what.records), now.stamp)
        tasks.delete_records(connection, tables, records)
        # also of those without a directory, which may be gone since a scan has met it: it would count for a quota
        changes = [inventory.forgetting([one.request.task_id for one in going])]
        if marked:  # the last, since it has to be seen how many rows it has changed
            changes += tasks.marking_directory_gone(connection, tables, marked, now.stamp)
        elif records:
            changes += tasks.waiting_for_nothing(connection)  # some keys are only looked at at COMMIT
        open_ = [one for one in going if one.stays_open]
        counts = {one.item.deletion_id: journal_counts(one.counts) for one in open_ if one.counts is not None}
        done = [one.item.entry for one in going if not one.stays_open]
        changed = 0
        in_place = {one.item.deletion_id: str(where.identity) for one, where in self._claimed.standing}
        if open_:
            opened = [one.item.entry for one in open_]
            changed = ledger.insert(connection, opened, State.COMMITTED, now.utc, counts, changes, in_place)
        if done:
            changed += ledger.insert(connection, done, State.PURGED, now.utc, None, () if open_ else changes)
        if marked:
            tasks.check_marked(marked, changed)
        self._claimed.deleted_at = now.stamp

    def _outcome(self, one: Going, stamp: datetime) -> Outcome:
        entry = one.item.entry
        return Outcome(
            entry.task_id, entry.deletion_id, False, entry.records_deleted, NOTHING, stamp, entry.purge_after
        )

    def _settle(self, error: Exception) -> None:
        """Find out what became of a COMMIT that failed, or whose answer was lost; raises if it did not happen."""
        gone = [one.item.entry for one in self._claimed.gone]
        try:
            with self._catalog.write() as session:
                states = ledger.abort(session.connection, gone)
        except SweepdError:  # unreachable, or the lost transaction still holds its locks
            raise CatalogUnavailable(
                f"the database went away while {_few(gone)} was being deleted; "
                "the directory is safe, and recovery settles it when the database is back"
            ) from error
        if State.ABORTED in states.values():  # one transaction: all of them or none
            self._undo()
            if isinstance(error, CommitUncertain):
                raise CatalogUnavailable(f"{error}; nothing was deleted, try again") from error
            raise error

    def _undo(self) -> None:
        claimed = self._claimed
        for _, where in claimed.standing:  # the claim may be repeated, and locks them again
            where.close()
        claimed.standing = []
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


def _explain(error: OSError, task_id: str) -> SweepdError:
    if isinstance(error, FileNotFoundError):
        return changed(task_id, "its directory was taken away by somebody else")
    return faults.explain(error, task_id, _MOVING)


def _cannot_wait(task_id: str, why: OSError) -> TaskRefused:
    full = "the file system is full, and what waits there frees nothing; purge what waits in the trash, or delete"
    reason = full if reserve.is_full(why) else "the file system does not move its directory; delete"
    return TaskRefused(
        f"{task_id} cannot wait in the trash: {reason} without `retain` (in a policy: `action: {{delete: directory}}`)",
        code=ErrorCode.DELETION_FAILED,
        details={"task_id": task_id, "errno": errno.errorcode.get(why.errno or 0, "unknown error")},
    )


def _unmovable(task_id: str) -> TaskRefused:
    return TaskRefused(
        f"the file system does not move the directory of {task_id}, although nothing is mounted there (EXDEV): it lies "
        "in a lower layer of an overlay, or has another project id than the storage root; policies with "
        "`in_place: true` in their action remove such directories where they stand",
        code=ErrorCode.UNSAFE_DIRECTORY,
        details={"task_id": task_id, "errno": "EXDEV"},
    )


def _ids(going: Iterable[Going]) -> dict[str, str]:
    return {one.item.deletion_id: one.request.task_id for one in going}


def _few(gone: Sequence[Entry]) -> str:
    names = [entry.task_id for entry in gone]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
