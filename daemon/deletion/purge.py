"""The end of committed deletions: count, remove, record once, drop the entry. Engine, trash and recovery share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from daemon import log
from daemon.catalog import ledger, setup
from daemon.catalog.catalog import Catalog
from daemon.deletion import stuck
from daemon.deletion.claim import journal_counts
from daemon.deletion.continuity import Continuity
from daemon.deletion.manifest import Item
from daemon.deletion.progress import Purges
from daemon.errors import SweepdError
from daemon.metrics.registry import Metrics
from daemon.storage import reserve, upkeep
from daemon.storage.census import Census
from daemon.storage.progress import Progress
from daemon.storage.root import OpenRoot
from daemon.storage.workers import Workers

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a purge works with, made once for an installation."""

    catalog: Catalog
    metrics: Metrics
    workers: Workers
    purges: Purges
    continuity: Continuity


class Place(Protocol):
    """Where directories lie that are to be removed: an entry of the trash, or a directory in its place.

    ``counts_durably``: whether ``count`` leaves the counts on disk; if not, they go to the journal. ``in_place``: what
    the journal says of a directory that has no manifest on disk.
    """

    entry_id: str
    counts_durably: bool
    in_place: str | None

    def count(self, deletion_id: str, workers: Workers) -> Census: ...

    def purge(self, deletion_ids: Iterable[str], workers: Workers, progress: Progress | None = None) -> None: ...

    def held(self) -> set[str]: ...

    def discard(self) -> None: ...


@dataclass(slots=True)
class Purged:
    """By deletion id: the exact counts, and why a directory could not be counted or is not gone completely.

    ``recorded`` are those that this purge was the first to record; ``deferred`` says that the files are gone and the
    journal does not say so yet.
    """

    counts: dict[str, Census]
    errors: dict[str, OSError] = field(default_factory=dict)
    recorded: set[str] = field(default_factory=set)
    deferred: bool = False


def purge(entry: Place, items: Sequence[Item], tools: Tools, known: Mapping[str, Census] | None = None) -> Purged:
    """Remove these directories of the entry for good. Their exact counts were taken before the first unlink.

    ``known`` are the counts the journal has already. What cannot be removed stays in the entry, and the call can be
    repeated. If only the journal cannot be written, the files are gone and the counts true all the same; recovery
    writes it later. Raises CatalogUnavailable or CatalogNotReady, with nothing removed, if the journal is the only
    place for the counts, and does not answer.
    """
    result = Purged(dict(known or {}))
    for item in items:
        if item.deletion_id not in result.counts:
            try:
                result.counts[item.deletion_id] = entry.count(item.deletion_id, tools.workers)
            except OSError as error:
                result.errors[item.deletion_id] = error
    if not entry.counts_durably:
        fresh = {key: census for key, census in result.counts.items() if key not in (known or {})}
        _begin(tools.catalog, fresh, entry.in_place)
    ids = [item.deletion_id for item in items if item.deletion_id not in result.errors]
    tasks = [item.task_id for item in items if item.deletion_id not in result.errors]
    with tools.purges.watch(tasks, [result.counts[deletion_id] for deletion_id in ids]) as progress:
        try:
            entry.purge(ids, tools.workers, progress)
        except OSError as error:
            result.errors |= _left(entry, ids, tools, error)
    if result.errors:
        begun = {key: journal_counts(result.counts[key]) for key in result.errors if key in result.counts}
        stuck.note(tools.catalog, result.errors, {item.deletion_id: item.entry for item in items}, begun)
    counts = result.counts
    gone = {deletion_id: counts[deletion_id] for deletion_id in ids if deletion_id not in result.errors}
    recorded = _record(tools, gone, items)
    if recorded is None:
        result.deferred = True
        return result
    result.recorded = recorded
    if not result.errors:
        _discard(entry)
    return result


def _begin(catalog: Catalog, counts: Mapping[str, Census], in_place: str | None) -> None:
    if counts:
        with catalog.write() as session:
            ledger.begin(session.connection, {key: journal_counts(census) for key, census in counts.items()}, in_place)


def keep_ready(root: OpenRoot, catalog: Catalog, *, thoroughly: bool = False) -> None:
    """Make what sweepd needs in the root of what has just been freed. Never raises: what is gone is gone without it.

    ``thoroughly``: not the reserve alone.
    """
    try:
        was_marked = root.marked
        if was_marked and not thoroughly:
            reserve.keep(root)
            return
        upkeep.keep_ready(root)
        if root.marked and not was_marked:
            with catalog.write() as session:
                setup.root_is_marked(session.connection)
            _log.info("root_marked", root_id=root.root_id)
    except (OSError, SweepdError) as error:
        _log.warning("reserve_failed", reason=str(error))


def _left(entry: Place, ids: Sequence[str], tools: Tools, error: OSError) -> dict[str, OSError]:
    """Which directories are still there, and why: the first error is one of theirs."""
    left: dict[str, OSError] = {}
    try:
        held = entry.held()
    except OSError as unknown:  # nothing is gone that is not known to be
        return dict.fromkeys(ids, unknown)
    remaining = [deletion_id for deletion_id in ids if deletion_id in held]
    if len(remaining) == 1:
        return {remaining[0]: error}
    for deletion_id in remaining:
        try:
            entry.purge([deletion_id], tools.workers)
        except OSError as again:
            left[deletion_id] = again
    return left


def _record(tools: Tools, gone: Mapping[str, Census], items: Sequence[Item]) -> set[str] | None:
    """The deletions that are recorded by this; None if the journal cannot be written now."""
    if not gone:
        return set()
    try:
        with tools.catalog.write() as session:
            numbers = {deletion_id: journal_counts(census) for deletion_id, census in gone.items()}
            first = ledger.finish(session.connection, numbers)
    except SweepdError as error:
        for deletion_id in gone:
            _log.warning("journal_write_deferred", deletion_id=deletion_id, reason=str(error))
        return None
    for item in items:
        if item.deletion_id in first:
            census = gone[item.deletion_id]
            tools.metrics.deletions.purged(item.entry.trigger, census.files, census.freed_bytes)
    return first


def _discard(entry: Place) -> None:
    try:
        entry.discard()
    except OSError as error:  # it holds something else, or the file system fails now: recovery sees to it
        _log.error("undo_deferred", entry_id=entry.entry_id, reason=str(error))
