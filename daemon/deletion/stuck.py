"""Why a directory is not gone yet, in words: for the journal, and for everybody who shows what the journal says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from daemon import log
from daemon.catalog import ledger
from daemon.catalog.catalog import Catalog
from daemon.catalog.ledger import Counts, Entry, Record
from daemon.errors import SweepdError
from daemon.storage import faults

_log = log.get(__name__)
_DOING: Final = "removing it"
# How ``str`` shows an OSError with a path, which is what journals of earlier versions hold.
_RAW: Final = re.compile(r"\[Errno (\d+)\] (.*?)(?:: (['\"])(.*)\3)?", re.DOTALL)


def note(
    catalog: Catalog,
    errors: Mapping[str, OSError],
    entries: Mapping[str, Entry],
    begun: Mapping[str, Counts] | None = None,
) -> None:
    """Write into the journal why these deletions are not purged, by their ids. Never raises.

    ``begun``: the counts of those that have begun to go, so that nobody can have them back.
    """
    try:
        with catalog.write() as session:
            for deletion_id, error in errors.items():
                # a path may hold what the database's encoding lacks
                why = explain(error, entries[deletion_id]).encode("ascii", "backslashreplace").decode()
                ledger.note_error(session.connection, deletion_id, why, (begun or {}).get(deletion_id))
    except SweepdError as error:
        for deletion_id in errors:
            _log.warning("journal_write_deferred", deletion_id=deletion_id, reason=str(error))


def explain(error: OSError, entry: Entry) -> str:
    """Say what failed, at which path in the task directory, what to do about it, and where the rest of it lies."""
    path, place = _inside(error.filename, entry) if isinstance(error.filename, str) else (entry.task_id, None)
    shown = OSError(error.errno or 0, error.strerror or str(error), path)
    said = str(faults.explain(shown, entry.task_id, _DOING))
    return said if place is None else f"{said}; what is left of the directory lies in {faults.printable(place)}"


def why(record: Record) -> str | None:
    """Say why the deletion is not purged, as ``explain`` does, also if the journal has the bare text of the error."""
    raw = None if record.error is None else _RAW.fullmatch(record.error)
    if raw is None:
        return record.error
    return explain(OSError(int(raw[1]), raw[2], raw[4]), record.entry)


def _inside(path: str, entry: Entry) -> tuple[str, str | None]:
    """A path of sweepd's as one in the task directory, and where that lies in the storage root, if the path says so."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if part in (entry.deletion_id, f"{entry.deletion_id}.purge"):
            place = "/".join(parts[: index + 1]) if index else None
            return "/".join(parts[index + 1 :]) or entry.task_id, place
    if parts[0] == entry.task_id and len(parts) > 1:  # it is removed in its place
        return "/".join(parts[1:]), None
    return path, None
