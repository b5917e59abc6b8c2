"""The end of a committed deletion: count, remove, record once, drop the entry. The engine and recovery share it."""

from __future__ import annotations

from daemon import log
from daemon.catalog import ledger
from daemon.catalog.catalog import Catalog
from daemon.deletion.manifest import Manifest
from daemon.errors import SweepdError
from daemon.metrics import Metrics
from daemon.storage.census import Census
from daemon.storage.trash import TrashEntry

_log = log.get(__name__)


def purge(entry: TrashEntry, manifest: Manifest, catalog: Catalog, metrics: Metrics) -> Census:
    """Remove the entry's data for good and return its exact counts, taken before the first unlink.

    Raises OSError if something cannot be removed: the entry stays, and the call can be repeated. If only the
    journal cannot be written, the files are gone and the counts true all the same; recovery writes it later.
    """
    try:
        counts = entry.count()
        entry.purge()
    except OSError as error:
        _note(catalog, manifest, str(error))
        raise
    try:
        with catalog.write() as session:
            numbers = ledger.Counts(counts.files, counts.directories, counts.size_bytes, counts.freed_bytes)
            first = ledger.finish(session.connection, manifest.deletion_id, numbers)
    except SweepdError as error:
        _log.warning(
            "journal_write_deferred", deletion_id=manifest.deletion_id, task_id=manifest.task_id, reason=str(error)
        )
        return counts
    if first:
        metrics.purged(manifest.trigger, counts.files, counts.freed_bytes)
    entry.discard()
    return counts


def _note(catalog: Catalog, manifest: Manifest, reason: str) -> None:
    try:
        with catalog.write() as session:
            ledger.note_error(session.connection, manifest.deletion_id, reason)
    except SweepdError as error:
        _log.warning(
            "journal_write_deferred", deletion_id=manifest.deletion_id, task_id=manifest.task_id, reason=str(error)
        )
