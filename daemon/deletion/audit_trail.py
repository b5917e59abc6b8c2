"""The audit trail as documents: who deleted what, when, why, from where, by which plan, and what came of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from daemon.catalog import audit
from daemon.catalog.audit import AuditFilter, Mark
from daemon.catalog.catalog import Catalog
from daemon.catalog.ledger import Counts, Record, State
from daemon.deletion import stuck

PAGE: Final = 1000
"""Deletions read at once: what an export keeps in memory."""

COLUMNS: Final = (
    "deletion_id",
    "task_id",
    "what",
    "state",
    "deleted_at",
    "trigger",
    "initiator",
    "client",
    "request_id",
    "reason",
    "policy",
    "sweep_id",
    "plan_digest",
    "forced",
    "directory_deleted",
    "records_deleted",
    *Counts.__slots__,
    "error",
    "finished_at",
    "retained_until",
    "restored_at",
    "restored_by",
)
"""The keys of a document, in the order of a CSV file."""

# What a spreadsheet would take for the beginning of a formula.
_FORMULA: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def document(record: Record) -> dict[str, Any]:
    """One deletion; sizes in bytes, instants in UTC. What waits in the trash has freed nothing yet."""
    entry = record.entry
    restored = record.state is State.RESTORED
    finished = _stamp(record.finished_at)
    values = {name: getattr(entry, name) for name in COLUMNS if name in type(entry).__slots__}
    counts = {name: getattr(record.counts, name) if record.counts else None for name in Counts.__slots__}
    if record.counts is not None and (record.retained or record.state in (State.RESTORED, State.ABORTED)):
        counts["freed_bytes"] = 0
    values |= counts
    values |= {
        "state": record.state,
        "deleted_at": _stamp(record.committed_at),
        "error": stuck.why(record),
        "finished_at": None if restored else finished,
        "retained_until": _stamp(entry.purge_after),
        "restored_at": finished if restored else None,
        "restored_by": record.restored_by,
    }
    return {name: values[name] for name in COLUMNS}


def page(catalog: Catalog, wanted: AuditFilter, *, limit: int, after: Mark | None = None) -> list[Record]:
    """So many deletions, the newest first. Raises CatalogUnavailable or CatalogNotReady."""
    with catalog.read() as session:
        return audit.page(session.connection, wanted, limit=limit, after=after)


def pages(catalog: Catalog, wanted: AuditFilter, *, limit: int | None = None) -> Iterator[list[Record]]:
    """All of them, page by page, each read in its own transaction. Raises as ``page`` does."""
    left, after = limit, None
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        found = page(catalog, wanted, limit=size, after=after)
        if found:
            yield found
        if len(found) < size:
            return
        after = audit.mark(found[-1])
        left = None if left is None else left - len(found)


def csv_lines(records: Iterable[Record], *, header: bool) -> str:
    """As CSV by RFC 4180. A text that a spreadsheet would run as a formula gets a ``'`` before it."""
    written = io.StringIO()
    writer = csv.writer(written)
    if header:
        writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(value) for value in document(record).values()])
    return written.getvalue()


def json_lines(records: Iterable[Record]) -> str:
    """One JSON object in a line for each."""
    return "".join(json.dumps(document(record), ensure_ascii=False) + "\n" for record in records)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if text[:1] in _FORMULA else text


def _stamp(value: Any) -> str | None:
    return None if value is None else value.isoformat(timespec="seconds")
