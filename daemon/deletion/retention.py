"""The trash as people know it: what waits, until when, and its real end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from daemon import log
from daemon.catalog import holds, ledger, trashed
from daemon.catalog.catalog import Session
from daemon.catalog.holds import Hold
from daemon.catalog.ledger import Counts, Record, State
from daemon.deletion import holding, manifest
from daemon.deletion import stuck as reasons
from daemon.deletion.claim import journal_counts
from daemon.deletion.manifest import Item, Kind, Manifest
from daemon.deletion.purge import Purged, Tools, keep_ready, purge
from daemon.errors import ErrorCode, TaskRefused
from daemon.metrics.trash import TrashFacts
from daemon.moments import for_machines
from daemon.storage import faults, reserve, retained, standing, trash
from daemon.storage.census import NOTHING
from daemon.storage.root import OpenRoot, StorageRoot
from daemon.storage.trash import TrashEntry

_log = log.get(__name__)
_AT_ONCE: Final = 64
_COUNTED_AT_ONCE: Final = 16
_DOING = "purging it from the trash"

Find = Callable[[Session, Sequence[Hold], Record | None], Record | None]
"""What has waited longest of those that come behind the last one and are under none of the holds; None if nothing."""


class Retention:
    """The trash of one storage root. Blocking, and safe beside everything else."""

    def __init__(self, root: StorageRoot, tools: Tools) -> None:
        self._root = root
        self._tools = tools
        self._stop = threading.Event()
        self._uncountable: set[str] = set()

    def stop(self) -> None:
        """Begin no further purge."""
        self._stop.set()

    def waiting(self, task_id: str | None = None) -> list[Record]:
        """What waits, the first to be purged first."""
        with self._tools.catalog.read() as session:
            return trashed.retained(session.connection, task_id=task_id)

    def stuck(self, task_id: str | None = None) -> list[Record]:
        """Deletions that could not be purged, the oldest first."""
        with self._tools.catalog.read() as session:
            return trashed.stuck(session.connection, task_id=task_id)

    def purge_expired(self) -> int:
        """Purge what has waited long enough by the catalog's clock, except for what is held; how many that was.

        Raises RootUnavailable, CatalogUnavailable or CatalogNotReady. What cannot be removed is logged and passed
        over, and recovery goes on with it.
        """
        purged, last = 0, None
        while not self._stop.is_set():
            with self._tools.catalog.read() as session:
                spared = self._tools.catalog.holds(session)
                due = trashed.retained(
                    session.connection, expired_at=session.now.utc, spared=spared, after=last, limit=_AT_ONCE
                )
            purged += self._purge(due) if due else 0
            if len(due) < _AT_ONCE:
                break
            last = due[-1]
        return purged

    def purge_oldest(self, wanted: Callable[[], bool], find: Find | None = None) -> int:
        """Purge what has waited longest, whenever it is due, one after the other while it is ``wanted``; how many.

        For room: ``find`` says whose. What is held is spared, and what cannot be removed passed over. Raises as
        ``purge_expired`` does.
        """
        purged, last = 0, None
        while not self._stop.is_set() and wanted():
            with self._tools.catalog.read() as session:
                spared = self._tools.catalog.holds(session)
                last = (find or _oldest)(session, spared, last)
            if last is None:
                break
            if self._purge([last]):
                purged += 1
                _log.warning("trash_purged_early", deletion_id=last.entry.deletion_id, task_ids=[last.entry.task_id])
                self.report()
        return purged

    def purge(self, deletion_ids: Sequence[str]) -> list[Record]:
        """Purge these before their time; as they are now.

        Raises TaskRefused (DELETION_NOT_FOUND, NOT_RESTORABLE, TASK_HELD) before anything is removed if one does not
        wait, or its task is held, and DELETION_FAILED if one could not be removed.
        """
        with self._tools.catalog.read() as session:
            records = ledger.find(session.connection, deletion_ids)
            found = self._tools.catalog.holds(session)
        for deletion_id in deletion_ids:
            _check_not_held(check_waits(records.get(deletion_id), deletion_id), found)
        self._purge(list(records.values()))
        with self._tools.catalog.read() as session:
            after = ledger.find(session.connection, deletion_ids)
            found = self._tools.catalog.holds(session)
        for record in after.values():
            if record.retained:
                _check_not_held(record, found)  # since it was asked above
            if record.state is State.COMMITTED:
                raise TaskRefused(
                    f"{record.entry.task_id} could not be purged: {reasons.why(record) or 'it is in use'}",
                    code=ErrorCode.DELETION_FAILED,
                )
        return [after[deletion_id] for deletion_id in deletion_ids]

    def count_waiting(self) -> int:
        """Count a few directories that wait and were too large to be counted at once; how many."""
        with self._tools.catalog.read() as session:
            most = _COUNTED_AT_ONCE + len(self._uncountable)
            waiting = trashed.retained(session.connection, uncounted=True, limit=most)
        todo = [record for record in waiting if record.entry.deletion_id not in self._uncountable]
        counts: dict[str, Counts] = {}
        with self._root.open() as root:
            for record in todo:
                if self._stop.is_set():
                    break
                try:
                    census = retained.count(root, record.entry.deletion_id, self._tools.workers)
                except OSError as error:
                    _log.warning("trash_not_counted", deletion_id=record.entry.deletion_id, reason=str(error))
                    self._uncountable.add(record.entry.deletion_id)  # said once; its purge counts it again
                    continue
                if census is not None:
                    counts[record.entry.deletion_id] = journal_counts(census)
        if counts:
            with self._tools.catalog.write() as session:
                ledger.count(session.connection, counts)
        return len(counts)

    def report(self) -> None:
        """Tell the metrics how much waits, and what should not be there any more."""
        with self._tools.catalog.read() as session:
            waits = trashed.total(session.connection)
            number, since = ledger.unfinished(session.connection)
            spared = self._tools.catalog.holds(session)
            due = trashed.retained(session.connection, expired_at=session.now.utc, spared=spared, limit=1)
        overdue = due[0].entry.purge_after if due else None
        self._tools.metrics.trash.waiting(
            TrashFacts(waits.deletions, waits.freed_bytes, waits.uncounted, waits.oldest_at, overdue, number, since)
        )

    def _purge(self, records: Sequence[Record]) -> int:
        with self._root.open() as root:
            with self._tools.catalog.read() as session:
                self._tools.continuity.require(session, root)
            done = 0
            for start in range(0, len(records), _AT_ONCE):
                done += self._purge_group(root, records[start : start + _AT_ONCE])
                keep_ready(root, self._tools.catalog)
            return done

    def _purge_group(self, root: OpenRoot, records: Sequence[Record]) -> int:
        items = [Item(record.entry) for record in records]
        try:
            with trash.new_entry(root) as entry:
                held = Manifest(Kind.PURGE, entry.entry_id, root.root_id, tuple(items))
                entry.write_manifest(held.to_json())
                free, taken, stuck = self._take(entry, records)
                for deletion_id, error in stuck.items():
                    self._failed(error, [record for record in free if record.entry.deletion_id == deletion_id])
                free = [record for record in free if record.entry.deletion_id not in stuck]
                items = [Item(record.entry) for record in free]
                # Not there, though the journal says so: being restored, or removed by hand. Only the former goes on.
                missing = [r for r in free if r.entry.directory_deleted and r.entry.deletion_id not in taken]
                gone = self._gone(entry, missing)
                items = [item for item in items if item.deletion_id in taken | gone or not item.entry.directory_deleted]
                if not items:
                    entry.discard()
                    return 0
                # counted anew: what has waited in the trash may have had a writer when it was counted
                purged = purge(entry, items, self._tools)
        except OSError as error:
            if reserve.is_full(error):
                return sum(self._purge_where_it_waits(root, record) for record in records)
            self._failed(error, records)
            return 0
        return self._tell(items, purged)

    def _purge_where_it_waits(self, root: OpenRoot, record: Record) -> int:
        """Without room for an entry of the trash: the journal is the manifest."""
        deletion_id, task_id = record.entry.deletion_id, record.entry.task_id
        with ExitStack() as stack:
            try:
                with self._tools.catalog.write() as session:
                    found = self._tools.catalog.holds(session, claiming=[task_id])
                    now = ledger.find(session.connection, [deletion_id])[deletion_id]
                    if not now.retained or holds.holding(found, task_id) is not None:
                        return 0
                    where = standing.begin(root, deletion_id)
                    if where is None:  # recovery, or a purge with room, finds out what became of it
                        return 0
                    stack.callback(where.close)
                purged = purge(where, [Item(now.entry)], self._tools)
            except standing.Busy:
                return 0
            except OSError as error:
                self._failed(error, [record])
                return 0
        return self._tell([Item(now.entry)], purged)

    def _tell(self, items: Sequence[Item], purged: Purged) -> int:
        """Log what became of them; how many were recorded."""
        for item in items:
            error_left = purged.errors.get(item.deletion_id)
            if error_left is None and item.deletion_id not in purged.recorded:
                continue  # restored, or purged by somebody else, in the meantime
            counts = purged.counts.get(item.deletion_id, NOTHING)
            (_log.info if error_left is None else _log.error)(
                "trash_purged",
                outcome="success" if error_left is None else "failed",
                deletion_id=item.deletion_id,
                task_ids=[item.task_id],
                files=counts.files,
                bytes=counts.size_bytes,
                freed_bytes=counts.freed_bytes,
                reason=None if error_left is None else str(faults.explain(error_left, item.task_id, _DOING)),
            )
        return len(purged.recorded)

    def _failed(self, error: OSError, records: Sequence[Record]) -> None:
        """Tell it, and note it in the journal. Raises RootUnavailable if the root is to blame."""
        fault = faults.explain(error, records[0].entry.task_id, _DOING)
        _log.error("purge_failed", error=fault.code, reason=str(fault))
        self._root.note(fault)
        if fault.code is ErrorCode.ROOT_UNAVAILABLE:
            raise fault from error
        entries = {record.entry.deletion_id: record.entry for record in records}
        reasons.note(self._tools.catalog, dict.fromkeys(entries, error), entries)

    def _take(self, entry: TrashEntry, records: Sequence[Record]) -> tuple[list[Record], set[str], dict[str, OSError]]:
        """Those that still wait and are not held now; of which the directory has left its place, or why it could not.

        Once it has left, a hold that is placed comes too late.
        """
        with self._tools.catalog.write() as session:
            found = self._tools.catalog.holds(session, claiming=[record.entry.task_id for record in records])
            now = ledger.find(session.connection, [record.entry.deletion_id for record in records])
            waiting = [record for record in now.values() if record.retained]
            free = [record for record in waiting if holds.holding(found, record.entry.task_id) is None]
            ids = [record.entry.deletion_id for record in free if record.entry.directory_deleted]
            return free, *entry.take_retained(ids)

    def _gone(self, entry: TrashEntry, missing: Sequence[Record]) -> set[str]:
        """Of directories that do not wait where they should, those that nobody is working on either."""
        ids = {record.entry.deletion_id for record in missing}
        if ids:
            for content, held in trash.look(entry.root):
                if content.get("entry_id") != entry.entry_id:
                    back = content.get("kind") == Kind.RESTORE
                    ids -= {deletion_id for deletion_id, _ in manifest.names(content) if back or deletion_id in held}
            for _, begun in trash.look_for_begun(entry.root):
                ids -= begun  # removed, and whoever did that, or recovery, has the counts and records them
        for deletion_id in sorted(ids):
            _log.error("retained_directory_missing", deletion_id=deletion_id)
        return ids


def _oldest(session: Session, spared: Sequence[Hold], last: Record | None) -> Record | None:
    return trashed.oldest(session.connection, spared=spared, after=last)


def _check_not_held(record: Record, found: Sequence[Hold]) -> None:
    hold = holds.holding(found, record.entry.task_id)
    if hold is not None:
        raise holding.refused(record.entry.task_id, hold)


def check_waits(record: Record | None, deletion_id: str) -> Record:
    """The record, if its deletion can still be undone. Raises TaskRefused (DELETION_NOT_FOUND, NOT_RESTORABLE)."""
    if record is None:
        raise TaskRefused(
            f"there is no deletion {deletion_id} in the journal; sweepd trash lists those that can be restored",
            code=ErrorCode.DELETION_NOT_FOUND,
        )
    if record.retained:
        return record
    if record.state is State.COMMITTED:
        left = "" if record.error is None else f", and what is left of it cannot be removed: {reasons.why(record)}"
        raise not_restorable(record, f"being purged{left}")
    ended = f" since {for_machines(record.finished_at)}" if record.finished_at else ""
    raise not_restorable(record, f"{record.state}{ended}")


def not_restorable(record: Record, what: str) -> TaskRefused:
    """Its deletion cannot be undone any more: it is ``what`` now."""
    entry = record.entry
    return TaskRefused(
        f"the deletion {entry.deletion_id} of {entry.task_id} does not wait in the trash: it is {what}",
        code=ErrorCode.NOT_RESTORABLE,
        details={"task_id": entry.task_id, "deletion_id": entry.deletion_id, "state": str(record.state)},
    )
