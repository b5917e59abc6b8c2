"""Finishes or undoes whatever a crash, a lost database or a blocked file left in the trash.

Runs at start before any work is accepted, and now and then afterwards. An entry somebody alive works on is
locked, and passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial

from daemon import clock, log
from daemon.catalog import ledger, tasks
from daemon.catalog.catalog import Session
from daemon.catalog.ledger import Record, State
from daemon.deletion.manifest import Item, Kind, Manifest
from daemon.deletion.purge import Place, Tools, keep_ready, purge
from daemon.errors import CatalogRolledBack, RootUnavailable, TaskRefused
from daemon.storage import faults, retained, standing, trash
from daemon.storage.census import Census
from daemon.storage.identity import Identity, is_that
from daemon.storage.root import OpenRoot, StorageRoot
from daemon.storage.standing import Standing
from daemon.storage.trash import TrashEntry

_log = log.get(__name__)
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 3600.0


class Result(StrEnum):
    """What became of an entry; the later ones outweigh the earlier ones."""

    LEFTOVER = "leftover"  # nothing but an empty claim
    RETAINED = "retained"  # it waits in the trash, as it should
    FINISHED = "finished"  # the deletion was committed, and is carried out now
    UNDONE = "undone"  # it was not, and the directory is back in its place
    QUARANTINED = "quarantined"  # unreadable: put aside for a person
    CONFLICT = "conflict"  # to be undone, but its name is taken: both stay
    BLOCKED = "blocked"  # something cannot be removed or moved yet
    BUSY = "busy"  # somebody works on it, or it waits for its next try


_ORDER = list(Result)
_UNSETTLED = {Result.CONFLICT, Result.BLOCKED}


@dataclass(slots=True)
class _Pause:
    until: float
    length: float


@dataclass(slots=True)
class Recovery:
    """Recovers one storage root. Not meant to run twice at once in one process."""

    root: StorageRoot
    tools: Tools
    _pauses: dict[str, _Pause] = field(default_factory=dict)

    def run(self) -> Counter[Result]:
        """Settle every entry that nobody works on; how many came to which result.

        Raises RootUnavailable, CatalogUnavailable or CatalogNotReady, and then touches nothing further. One of a
        database that has forgotten deletions is CatalogRolledBack: it would undo what it does not know.
        """
        results: Counter[Result] = Counter()
        with self.root.open() as root:
            self.tools.continuity.check(root)
            work = {entry_id: partial(self._settle_entry, root, entry_id) for entry_id in trash.entry_ids(root)}
            with self.tools.catalog.read() as session:
                in_place = ledger.standing(session.connection)
            work |= {one.entry.deletion_id: partial(self._settle_standing, root, one) for one in in_place}
            work |= {one: partial(self._settle_begun, root, one) for one in standing.begun(root)}
            for settled in self._pauses.keys() - work:  # by another process
                del self._pauses[settled]
            for name, settle in work.items():
                results[self._attempt(name, settle)] += 1
            keep_ready(root, self.tools.catalog, thoroughly=True)
        for result, count in results.items():
            if result is not Result.BUSY:
                self.tools.metrics.trash.recovered(result, count)
        self.tools.metrics.trash.blocked(self.unsettled)
        return results

    @property
    def unsettled(self) -> int:
        """Entries that could not be settled the last time they were tried."""
        return len(self._pauses)

    def _attempt(self, entry_id: str, settle: Callable[[], Result]) -> Result:
        pause = self._pauses.get(entry_id)
        if pause is not None and clock.monotonic() < pause.until:
            return Result.BUSY
        try:
            result = settle()
        except OSError as error:
            fault = faults.explain(error, entry_id, "settling an entry of the trash")
            _log.error("recovery_blocked", entry_id=entry_id, error=fault.code, reason=str(fault))
            self.root.note(fault)
            if isinstance(fault, RootUnavailable):
                raise fault from error
            result = Result.BLOCKED
        except TaskRefused as error:  # its row is locked: another transaction has not ended yet
            _log.warning("recovery_blocked", entry_id=entry_id, error=error.code, reason=str(error))
            result = Result.BLOCKED
        if result is Result.BUSY:
            return result
        if result in _UNSETTLED:
            length = min(pause.length * 2, _LONGEST_PAUSE_S) if pause else _FIRST_PAUSE_S
            self._pauses[entry_id] = _Pause(clock.monotonic() + length, length)
        else:
            self._pauses.pop(entry_id, None)
        return result

    def _settle_entry(self, root: OpenRoot, entry_id: str) -> Result:
        with trash.existing_entry(root, entry_id) as entry:
            return Result.BUSY if entry is None else self._settle(entry)

    def _settle_standing(self, root: OpenRoot, record: Record) -> Result:
        """A directory that is removed where it stands: on with it if it is proven to be there, else it is done.

        Its path was never frozen: one in which the task has run again since is left alone.
        """
        assert record.in_place is not None
        deletion_id, task_id = record.entry.deletion_id, record.entry.task_id
        if record.in_place == standing.WAITED:  # and is there no more
            return self._finish_standing(standing.gone(root, deletion_id), deletion_id)
        if self._has_run_since(record):
            _log.warning("deletion_overtaken", deletion_id=deletion_id, task_ids=[task_id])
            return self._finish_standing(standing.gone(root, deletion_id), deletion_id)
        try:
            where = standing.find(root, deletion_id, task_id, Identity.parse(record.in_place))
        except standing.Busy:
            return Result.BUSY
        return self._finish_standing(where, deletion_id)

    def _has_run_since(self, record: Record) -> bool:
        """Whether the row says that the task has run since its deletion. Raises TaskRefused if the row is locked."""
        catalog, task_id = self.tools.catalog, record.entry.task_id
        with catalog.write() as session:
            found = tasks.lock(session.connection, session.tables, [task_id], catalog.running_statuses).get(task_id)
            if found is None:
                return False
            dates = (found.row.created_at, found.row.started_at, found.row.completed_at)
            return found.running or any(wall is not None and wall > self._stamp(session, record) for wall in dates)

    @staticmethod
    def _stamp(session: Session, record: Record) -> datetime:
        """When it was committed, as the pipeline writes it."""
        return record.committed_at.astimezone(session.zone).replace(tzinfo=None)

    def _settle_begun(self, root: OpenRoot, deletion_id: str) -> Result:
        """A purge that has begun where the directory waited."""
        try:
            where = standing.resume(root, deletion_id)
        except standing.Busy:
            return Result.BUSY
        return Result.LEFTOVER if where is None else self._finish_standing(where, deletion_id)

    def _finish_standing(self, where: Standing, deletion_id: str) -> Result:
        with closing(where):
            with self.tools.catalog.read() as session:  # as it is now that nobody else works on it
                records = ledger.find(session.connection, [deletion_id])
            if deletion_id not in records:  # since ``run`` has looked
                raise CatalogRolledBack(f"the database has forgotten the deletion {deletion_id}, which was committed")
            record = records[deletion_id]
            if record.state not in (State.COMMITTED, State.PURGED):
                return Result.CONFLICT
            return self._finish(where, [Item(record.entry)], records)

    def _settle(self, entry: TrashEntry) -> Result:
        raw = entry.read_manifest()
        manifest = None if raw is None else Manifest.from_json(raw, entry.entry_id, entry.root_id)
        if manifest is None:
            return self._without_manifest(entry)
        if manifest.kind is Kind.RESTORE:
            return self._undo_restore(entry, manifest.items[0])
        result = self._settle_directories(entry, manifest)
        # A COMMIT under way came after all: the journal has it now.
        return self._settle_directories(entry, manifest) if result is Result.BUSY else result

    def _without_manifest(self, entry: TrashEntry) -> Result:
        if not entry.held():
            entry.discard()  # cut off while it was written: nothing had been moved
            return Result.LEFTOVER
        entry.quarantine()
        _log.error("trash_entry_quarantined", entry_id=entry.entry_id, reason="it has no readable manifest")
        return Result.QUARANTINED

    def _settle_directories(self, entry: TrashEntry, manifest: Manifest) -> Result:
        items = {item.deletion_id: item for item in manifest.items}
        held = entry.held() & {*items}
        begun = entry.begun()
        with self.tools.catalog.read() as session:
            records = ledger.find(session.connection, items)
        results = [Result.LEFTOVER]
        goes, waits, comes = [], [], []
        for deletion_id, item in items.items():
            record = records.get(deletion_id)
            if record is not None and record.in_place is not None:
                continue  # it was not moved, and is settled by itself
            if record is None and deletion_id in begun:  # since ``run`` has looked
                raise CatalogRolledBack(f"the database has forgotten the deletion {deletion_id}, which was committed")
            if record is None or record.state in (State.ABORTED, State.RESTORED):
                if deletion_id in held:
                    comes.append(item)
            elif record.state is State.PURGED:
                if deletion_id in held:
                    goes.append(item)
            elif record.retained and deletion_id not in begun:
                if deletion_id in held:
                    waits.append(item)
            else:
                goes.append(item)
        if comes:
            results.append(self._undo(entry, comes))
        if waits:
            entry.retain([item.deletion_id for item in waits])
            results.append(Result.RETAINED)
        if goes:
            results.append(self._finish(entry, goes, records))
        worst = max(results, key=_ORDER.index)
        if worst in (Result.LEFTOVER, Result.RETAINED, Result.UNDONE) and not goes:
            entry.discard()
        return worst

    def _finish(self, entry: Place, items: Sequence[Item], records: dict[str, Record]) -> Result:
        known = {}
        for item in items:
            record = records.get(item.deletion_id)
            if record is not None and record.counts is not None and not record.retained:
                known[item.deletion_id] = Census(*(getattr(record.counts, name) for name in _COUNTS))
        purged = purge(entry, items, self.tools, known)
        for item in items:
            error = purged.errors.get(item.deletion_id)
            if error is not None:
                fault = faults.explain(error, item.task_id, "removing what is left of it in the trash")
                _log.error("recovery_blocked", entry_id=entry.entry_id, error=fault.code, reason=str(fault))
                self.root.note(fault)
                if isinstance(fault, RootUnavailable):
                    raise fault from error
                continue
            counts = purged.counts[item.deletion_id]
            _log.info(
                "deletion_recovered",
                deletion_id=item.deletion_id,
                task_ids=[item.task_id],
                trigger=item.entry.trigger,
                initiator=item.entry.initiator,
                outcome="removed" if purged.deferred else "finished",
                files=counts.files,
                bytes=counts.size_bytes,
            )
        return Result.BLOCKED if purged.errors or purged.deferred else Result.FINISHED

    def _undo(self, entry: TrashEntry, items: Sequence[Item]) -> Result:
        """Put back what was not committed, once a COMMIT still under way can only fail."""
        with self.tools.catalog.write() as session:
            states = ledger.abort(session.connection, [item.entry for item in items])
        result = Result.UNDONE
        for item in items:
            if states[item.deletion_id] not in (State.ABORTED, State.RESTORED):
                result = Result.BUSY  # the COMMIT came after all: it is to be carried on
                continue
            try:
                entry.put_back(item.deletion_id, item.task_id)
            except FileExistsError:
                _log.error(
                    "recovery_conflict",
                    deletion_id=item.deletion_id,
                    task_ids=[item.task_id],
                    reason="the deletion was undone, but its name in the storage root is taken: both are kept",
                )
                result = Result.CONFLICT
                continue
            self._undone(item)
        return result

    def _undo_restore(self, entry: TrashEntry, item: Item) -> Result:
        """A restore was cut off: it had committed, or what it brought back goes to wait again."""
        with self.tools.catalog.write() as session:
            # The lock waits for a COMMIT under way.
            record = ledger.find(session.connection, [item.deletion_id], lock=True).get(item.deletion_id)
            committed = record is not None and record.state is State.RESTORED
        if not committed and item.directory is not None:
            root, is_it = entry.root, partial(is_that, identity=item.directory)
            if retained.find(root, item.deletion_id, item.task_id) is None and not retained.send_back(
                root, item.task_id, item.deletion_id, is_it
            ):
                _log.error(
                    "recovery_conflict",
                    deletion_id=item.deletion_id,
                    task_ids=[item.task_id],
                    reason="a restore was cut off, and its directory is not in the trash any more, nor is it proven to "
                    "be what has its name; nothing is moved: if it is the right one, move it by hand to "
                    f"{self.root.path}/.sweepd/retained/{item.deletion_id}",
                )
                return Result.CONFLICT
        entry.discard()
        if committed:
            return Result.FINISHED
        self._undone(item)
        return Result.UNDONE

    def _undone(self, item: Item) -> None:
        _log.info("deletion_recovered", deletion_id=item.deletion_id, task_ids=[item.task_id], outcome="undone")


_COUNTS = ("files", "directories", "size_bytes", "freed_bytes")
