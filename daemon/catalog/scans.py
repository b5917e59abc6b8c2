"""The scans of the storage root, and the drift: what has only one of row and directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.ledger import State
from daemon.catalog.patterns import is_task_id
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.rows import as_text
from daemon.catalog.tables import deletions, inventory, scans

KEPT: Final = 100
"""Scans, and complete ones, that are never forgotten."""


class Drift(StrEnum):
    """ORPHANS: directories without a row. MISSING: rows that say there is a directory, and there is none.

    RETURNED: rows that say that their directory is gone, and something has its name. UNNAMED: rows whose id is none,
    so that they can have no directory; no policy looks at them.
    """

    ORPHANS = "orphans"
    MISSING = "missing"
    RETURNED = "returned"
    UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan. ``directories``: met; ``measured``: walked. ``finished_at``: aware, None if it was cut off."""

    scan_id: str
    started_at: datetime
    finished_at: datetime | None
    directories: int
    measured: int
    orphans: int | None
    missing: int | None


@dataclass(frozen=True, slots=True)
class Drifted:
    """One example. Sizes in bytes and ``first_seen_at`` (aware) are an orphan's, status and user a row's."""

    task_id: str
    size_bytes: int | None = None
    first_seen_at: datetime | None = None
    sightings: int | None = None
    error: str | None = None
    status: str | None = None
    user: str | None = None


def began(connection: Connection, scan_id: str, started_at: datetime) -> None:
    """Note that a scan begins."""
    connection.execute(scans.insert().values(scan_id=scan_id, started_at=started_at, directories=0, measured=0))


def ended(connection: Connection, scan: Scan) -> None:
    """Note that a scan has met everything there was."""
    values = {name: getattr(scan, name) for name in Scan.__slots__}
    connection.execute(scans.update().where(scans.c.scan_id == scan.scan_id).values(values))


def forget(connection: Connection, before: datetime) -> int:
    """Forget the scans that began before that instant, the last ones excepted; how many."""
    c = scans.c
    complete = sa.select(c.scan_id).where(c.finished_at.is_not(None)).order_by(c.started_at.desc()).limit(KEPT)
    newest = sa.select(c.scan_id).order_by(c.scan_id.desc()).limit(KEPT)  # one of these the storage root remembers
    stays = sa.or_(c.scan_id.in_(complete), c.scan_id.in_(newest))
    return connection.execute(scans.delete().where(c.started_at < before, sa.not_(stays))).rowcount


def last_complete(connection: Connection) -> Scan | None:
    """The last scan that met everything there was."""
    c = scans.c
    statement = sa.select(*(c[name] for name in Scan.__slots__)).where(c.finished_at.is_not(None))
    row = connection.execute(statement.order_by(c.started_at.desc()).limit(1)).one_or_none()
    return None if row is None else Scan(*row)


def differing(connection: Connection, tables: PipelineTables, timeline: Timeline) -> dict[Drift, int]:
    """How many there are of those kinds of drift that do not depend on when the last scan began."""
    finder = DriftFinder(tables, timeline, timeline.now(connection))
    return {drift: finder.count(connection, drift) for drift in (Drift.RETURNED, Drift.UNNAMED)}


class DriftFinder:
    """Reads the drift that there is now, by a complete scan that began at ``since``."""

    def __init__(self, tables: PipelineTables, timeline: Timeline, since: Instant) -> None:
        self._tables = tables
        self._timeline = timeline
        self._since = since

    def count(self, connection: Connection, drift: Drift) -> int:
        """How many there are."""
        statement = sa.select(sa.func.count()).select_from(self._source(drift)).where(self._condition(drift))
        return int(connection.execute(statement).scalar_one())

    def examples(self, connection: Connection, drift: Drift, limit: int | None) -> list[Drifted]:
        """The first ones, or all: the largest orphans, and missing ones by name."""
        i, t = inventory.c, self._tables.tasks.c
        if drift is Drift.ORPHANS:
            columns: Sequence[Any] = [i.task_id, i.size_bytes, i.first_seen_at, i.sightings, i.error]
            order: Sequence[Any] = [i.size_bytes.desc().nulls_last(), i.task_id]
        else:
            nothing = [sa.null().label(name) for name in ("size_bytes", "first_seen_at", "sightings", "error")]
            columns, order = [t.task_id, *nothing, t.status, t.by_user], [t.task_id]
        statement = sa.select(*columns).select_from(self._source(drift)).where(self._condition(drift))
        found = connection.execute(statement.order_by(*order).limit(limit))
        return [Drifted(*map(as_text, row)) for row in found]

    def _source(self, drift: Drift) -> sa.FromClause:
        return inventory if drift is Drift.ORPHANS else self._tables.tasks

    def _condition(self, drift: Drift) -> sa.ColumnElement[bool]:
        i, t = inventory.c, self._tables.tasks.c
        if drift is Drift.ORPHANS:
            return sa.not_(sa.exists().where(t.task_id == i.task_id).correlate(inventory))
        tasks = self._tables.tasks
        listed = sa.exists().where(i.task_id == t.task_id).correlate(tasks)
        if drift is Drift.RETURNED:
            return sa.and_(sa.not_(self._tables.has_directory), listed)
        named = is_task_id(t.task_id, sqlite=self._timeline.sqlite)
        if drift is Drift.UNNAMED:
            return sa.not_(named)
        # What the scan could not have met is not missing: rows made or changed since, directories put back since.
        before = self._timeline.before(self._since, timedelta())
        stamps = [sa.func.coalesce(self._timeline.comparable(t[name]) < before, sa.true()) for name in _STAMPS]
        back = sa.exists().where(
            deletions.c.task_id == t.task_id,
            deletions.c.state == State.RESTORED,
            deletions.c.finished_at >= self._since.utc,
        )
        return sa.and_(self._tables.has_directory, named, *stamps, sa.not_(listed), sa.not_(back.correlate(tasks)))


_STAMPS = ("created_at", "updated_at")
