"""Whether this database knows what was committed to it before: one that was put back from a backup does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.tables import deletions, holds, scans, sweeps

DELETION: Final = "deletion"
_COLUMNS: Final[Mapping[str, sa.Column[str]]] = {
    DELETION: deletions.c.deletion_id,
    # These advance where nothing is deleted. Nobody removes the newest row of any of them.
    "sweep": sweeps.c.sweep_id,
    "scan": scans.c.scan_id,
    "hold": holds.c.hold_id,
}
_COMPARED: Final = "sweepd_compared"


def unknown(connection: Connection, kind: str, ids: Collection[str]) -> set[str]:
    """Which of these ids, a few hundred at most, the database does not know."""
    if not ids:
        return set()
    column = _COLUMNS[kind]
    return set(ids) - set(connection.execute(sa.select(column).where(column.in_(sorted(ids)))).scalars())


def newest(connection: Connection) -> dict[str, str]:
    """The newest id of each kind that has any."""
    found = {
        kind: connection.execute(sa.select(sa.func.max(column))).scalar_one_or_none()
        for kind, column in _COLUMNS.items()
    }
    return {kind: str(newest_id) for kind, newest_id in found.items() if newest_id is not None}


def compared(connection: Connection) -> bool:
    """Whether the database behind this connection was found to know the marks. It is asked once for each connection.

    No connection outlives the server's being stopped and given other data.
    """
    return bool(connection.info.get(_COMPARED))


def note_compared(connection: Connection) -> None:
    """It was."""
    connection.info[_COMPARED] = True
