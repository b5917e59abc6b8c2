"""How much lies in the storage root, all in all and by what the rows say of it, as the scans have found it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.rows import as_text
from daemon.catalog.tables import inventory

AGES: Final = (1, 7, 30, 90)
"""Days: the upper ends of the groups by age."""

GROUPS: Final = {"status": "status", "user": "by_user", "database": "db_name"}


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over directories; sizes in bytes. ``uncounted``: those whose content is not known."""

    directories: int
    uncounted: int
    files: int
    size_bytes: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Group:
    """The directories whose rows have the same ``value``. Without ``has_row``: those that have no row."""

    value: str | None
    has_row: bool
    total: Total


@dataclass(frozen=True, slots=True)
class Large:
    """One directory, sizes in bytes; ``modified_at``: aware. Status and user are None without a row."""

    task_id: str
    files: int
    size_bytes: int
    freed_bytes: int
    modified_at: datetime
    status: str | None
    user: str | None


def total(connection: Connection) -> Total:
    """The sums over everything."""
    return _total(connection.execute(sa.select(*_sums())).one())


def by(connection: Connection, tables: PipelineTables, group: str) -> list[Group]:
    """The sums by one of GROUPS, the largest first."""
    has_row = tables.tasks.c.task_id.is_not(None)
    keys = [tables.tasks.c[GROUPS[group]], has_row]
    statement = sa.select(*keys, *_sums()).select_from(_joined(tables)).group_by(*keys)
    found = [Group(as_text(row[0]), bool(row[1]), _total(row[2:])) for row in connection.execute(statement)]
    return sorted(found, key=lambda one: (-one.total.freed_bytes, one.value or ""))


def by_age(
    connection: Connection, tables: PipelineTables, timeline: Timeline, now: Instant
) -> list[tuple[str | None, Total]]:
    """The sums by how long ago the task was created, the youngest first; None: no row, or one without a date."""
    created = timeline.known(tables.tasks.c.created_at)
    newer = [(created > timeline.before(now, timedelta(days=days)), sa.literal(f"<{days}d")) for days in AGES]
    age = sa.case((created.is_(None), sa.null()), *newer, else_=sa.literal("older")).label("age")
    inner = sa.select(age, inventory).select_from(_joined(tables)).subquery()
    statement = sa.select(inner.c.age, *_sums(inner.c)).group_by(inner.c.age)
    found = {row[0]: _total(row[1:]) for row in connection.execute(statement)}
    nothing = Total(0, 0, 0, 0, 0)
    return [(name, found.get(name, nothing)) for name in (*(f"<{days}d" for days in AGES), "older", None)]


def largest(connection: Connection, tables: PipelineTables, limit: int) -> list[Large]:
    """The directories that removal frees most of."""
    i, t = inventory.c, tables.tasks.c
    columns = [i.task_id, i.files, i.size_bytes, i.freed_bytes, i.modified_at, t.status, t.by_user]
    statement = sa.select(*columns).select_from(_joined(tables)).where(i.measured_at.is_not(None))
    ordered = statement.order_by(i.freed_bytes.desc(), i.task_id).limit(limit)
    return [Large(*map(as_text, row)) for row in connection.execute(ordered)]


def _joined(tables: PipelineTables) -> sa.FromClause:
    return inventory.outerjoin(tables.tasks, tables.tasks.c.task_id == inventory.c.task_id)


def _sums(c: Any = inventory.c) -> list[sa.ColumnElement[Any]]:
    counted = sa.func.count(c.measured_at)
    sums = [sa.func.coalesce(sa.func.sum(c[name]), 0) for name in ("files", "size_bytes", "freed_bytes")]
    return [sa.func.count(), sa.func.count() - counted, *sums]


def _total(row: Any) -> Total:
    return Total(*(int(value) for value in row))
