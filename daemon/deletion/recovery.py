"""Finishes or undoes whatever a crash, a lost database or a blocked file left in the trash.

Runs at start before any work is accepted, and now and then afterwards. An entry somebody alive works on is
locked, and passed over.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from daemon import clock, log
from daemon.catalog import ledger, tasks
from daemon.catalog.catalog import Catalog
from daemon.catalog.ledger import State
from daemon.deletion.manifest import Manifest
from daemon.deletion.models import What
from daemon.deletion.purge import purge
from daemon.errors import TaskRefused
from daemon.metrics import Metrics
from daemon.storage import faults, trash
from daemon.storage.root import OpenRoot, StorageRoot
from daemon.storage.trash import TrashEntry

_log = log.get(__name__)
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 3600.0


class Result(StrEnum):
    """What became of an entry."""

    FINISHED = "finished"  # the deletion was committed, and is carried out now
    UNDONE = "undone"  # it was not, and the directory is back in its place
    LEFTOVER = "leftover"  # nothing but an empty claim
    QUARANTINED = "quarantined"  # unreadable: put aside for a person
    CONFLICT = "conflict"  # to be undone, but its name is taken: both stay
    BLOCKED = "blocked"  # something cannot be removed or moved yet
    BUSY = "busy"  # somebody works on it, or it waits for its next try


_UNSETTLED = {Result.CONFLICT, Result.BLOCKED}


@dataclass(slots=True)
class _Pause:
    until: float
    length: float


@dataclass(slots=True)
class Recovery:
    """Recovers one storage root. Not meant to run twice at once in one process."""

    root: StorageRoot
    catalog: Catalog
    metrics: Metrics
    _pauses: dict[str, _Pause] = field(default_factory=dict)

    def run(self) -> Counter[Result]:
        """Settle every entry that nobody works on; how many came to which result.

        Raises RootUnavailable, CatalogUnavailable or CatalogNotReady, and then touches nothing further.
        """
        results: Counter[Result] = Counter()
        with self.root.open() as root:
            for deletion_id in trash.entry_ids(root):
                result = self._attempt(root, deletion_id)
                results[result] += 1
        for result, count in results.items():
            if result is not Result.BUSY:
                self.metrics.recovered(result, count)
        self.metrics.trash_blocked(len(self._pauses))
        return results

    def _attempt(self, root: OpenRoot, deletion_id: str) -> Result:
        pause = self._pauses.get(deletion_id)
        if pause is not None and clock.monotonic() < pause.until:
            return Result.BUSY
        with trash.existing_entry(root, deletion_id) as entry:
            if entry is None:
                return Result.BUSY
            try:
                result = self._settle(entry)
            except OSError as error:
                fault = faults.explain(error, deletion_id, "settling an entry of the trash")
                _log.error("recovery_blocked", deletion_id=deletion_id, error=fault.code, reason=str(fault))
                result = Result.BLOCKED
            except TaskRefused as error:  # its row is locked: another transaction has not ended yet
                _log.warning("recovery_blocked", deletion_id=deletion_id, error=error.code, reason=str(error))
                result = Result.BLOCKED
        if result in _UNSETTLED:
            length = min(pause.length * 2, _LONGEST_PAUSE_S) if pause else _FIRST_PAUSE_S
            self._pauses[deletion_id] = _Pause(clock.monotonic() + length, length)
        else:
            self._pauses.pop(deletion_id, None)
        return result

    def _settle(self, entry: TrashEntry) -> Result:
        raw = entry.read_manifest()
        manifest = None if raw is None else Manifest.from_json(raw, entry.deletion_id, entry.root_id)
        if manifest is None:
            return self._without_manifest(entry, empty=raw is None and not entry.has_data())
        with self.catalog.read() as session:
            state = ledger.find(session.connection, manifest.deletion_id)
        if state is None and entry.has_census():
            self._commit_again(manifest)
            state = State.COMMITTED
        if state is None:
            if not entry.has_data():
                entry.discard()
                return Result.LEFTOVER
            with self.catalog.write() as session:
                state = ledger.abort(session.connection, manifest.ledger_entry())
        if state is State.ABORTED:
            return self._undo(entry, manifest)
        counts = purge(entry, manifest, self.catalog, self.metrics)
        _log.info(
            "deletion_recovered",
            deletion_id=manifest.deletion_id,
            task_ids=[manifest.task_id],
            trigger=manifest.trigger,
            initiator=manifest.initiator,
            outcome="finished",
            files=counts.files,
            bytes=counts.size_bytes,
        )
        return Result.FINISHED

    def _without_manifest(self, entry: TrashEntry, *, empty: bool) -> Result:
        if empty:
            try:
                entry.discard()
                return Result.LEFTOVER
            except OSError:
                pass  # it holds something unknown
        entry.quarantine()
        _log.error("trash_entry_quarantined", deletion_id=entry.deletion_id, reason="it has no readable manifest")
        return Result.QUARANTINED

    def _undo(self, entry: TrashEntry, manifest: Manifest) -> Result:
        if entry.has_data():
            try:
                entry.put_back(manifest.task_id)
            except FileExistsError:
                _log.error(
                    "recovery_conflict",
                    deletion_id=manifest.deletion_id,
                    task_ids=[manifest.task_id],
                    reason="the deletion was undone, but its name in the storage root is taken: both are kept",
                )
                return Result.CONFLICT
        entry.discard()
        _log.info("deletion_recovered", deletion_id=manifest.deletion_id, task_ids=[manifest.task_id], outcome="undone")
        return Result.UNDONE

    def _commit_again(self, manifest: Manifest) -> None:
        """A census proves that the deletion was committed once: a database put back from a backup has forgotten it."""
        _log.error("journal_lost_a_deletion", deletion_id=manifest.deletion_id, task_ids=[manifest.task_id])
        with self.catalog.write() as session:
            ledger.insert(session.connection, manifest.ledger_entry(), State.COMMITTED)
            if What(manifest.what).records:
                tasks.delete_records(session.connection, session.tables, manifest.task_id)
            else:
                tasks.mark_directory_gone(session.connection, session.tables, manifest.task_id, session.now)
