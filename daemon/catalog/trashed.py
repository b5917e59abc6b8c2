"""What waits in the trash, as the journal of deletions has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.among import among
from daemon.catalog.holds import Hold, held
from daemon.catalog.ledger import Record, State, read
from daemon.catalog.tables import deletions


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the trash; sizes in bytes, instants aware. ``uncounted``: directories that are not in the sums."""

    deletions: int
    uncounted: int
    files: int
    size_bytes: int
    freed_bytes: int
    oldest_at: datetime | None
    next_purge_at: datetime | None


def retained(
    connection: Connection,
    *,
    task_id: str | None = None,
    expired_at: datetime | None = None,
    uncounted: bool = False,
    spared: Sequence[Hold] = (),
    after: Record | None = None,
    limit: int | None = None,
) -> list[Record]:
    """What waits in the trash, the first to be purged first: all, of one task, due, or not counted yet.

    Not those of tasks under one of the holds ``spared``; with ``after``, those that come behind it.
    """
    c = deletions.c
    statement = sa.select(deletions).where(*waits()).order_by(c.purge_after, c.deletion_id).limit(limit)
    if task_id is not None:
        statement = statement.where(c.task_id == task_id)
    if expired_at is not None:
        statement = statement.where(c.purge_after <= expired_at)
    if uncounted:
        statement = statement.where(c.files.is_(None), c.directory_deleted)
    if spared:
        statement = statement.where(not_held(connection, spared))
    if after is not None:
        statement = statement.where(_behind(after, c.purge_after, after.entry.purge_after))
    return [read(row) for row in connection.execute(statement)]


def stuck(connection: Connection, *, task_id: str | None = None) -> list[Record]:
    """Deletions that are not purged though it was tried, the oldest first: all, or of one task."""
    c = deletions.c
    statement = sa.select(deletions).where(c.state == State.COMMITTED, c.error.is_not(None))
    if task_id is not None:
        statement = statement.where(c.task_id == task_id)
    return [read(row) for row in connection.execute(statement.order_by(c.committed_at, c.deletion_id))]


def oldest(
    connection: Connection,
    *,
    spared: Sequence[Hold] = (),
    after: Record | None = None,
    only: sa.ColumnElement[bool] | None = None,
) -> Record | None:
    """What has waited in the trash longest, whenever it is due; only what has a directory there.

    Not of tasks under one of the holds ``spared``; with ``after``, what comes behind it. ``only`` narrows it down.
    """
    c = deletions.c
    statement = (
        sa.select(deletions)
        .where(*waits(), c.directory_deleted, not_held(connection, spared))
        .order_by(c.committed_at, c.deletion_id)
        .limit(1)
    )
    if after is not None:
        statement = statement.where(_behind(after, c.committed_at, after.committed_at))
    if only is not None:
        statement = statement.where(only)
    row = connection.execute(statement).one_or_none()
    return None if row is None else read(row)


def directories(connection: Connection, task_ids: Sequence[str]) -> dict[str, Record]:
    """By task id, the deletion whose directory waits in the trash longest, and needs the task's row to come back."""
    c = deletions.c
    if not task_ids:
        return {}
    these = among(c.task_id, task_ids, sqlite=connection.dialect.name == "sqlite")
    statement = sa.select(deletions).where(these, *needs_row()).order_by(c.purge_after)
    return {record.entry.task_id: record for record in map(read, connection.execute(statement))}


def total(connection: Connection) -> Waiting:
    """The sums over everything in the trash."""
    c = deletions.c
    uncounted = sa.func.coalesce(sa.func.sum(sa.case((sa.and_(c.files.is_(None), c.directory_deleted), 1), else_=0)), 0)
    sums = [sa.func.coalesce(sa.func.sum(column), 0) for column in (c.files, c.size_bytes, c.freed_bytes)]
    statement = sa.select(
        sa.func.count(), uncounted, *sums, sa.func.min(c.committed_at), sa.func.min(c.purge_after)
    ).where(*waits())
    number, without, files, size, freed, oldest, next_one = connection.execute(statement).one()
    return Waiting(int(number), int(without), int(files), int(size), int(freed), oldest, next_one)


def waits() -> tuple[sa.ColumnElement[bool], ...]:
    """Whether a deletion waits in the trash, as ``Record.retained`` has it."""
    return deletions.c.state == State.COMMITTED, deletions.c.purge_after.is_not(None)


def needs_row() -> tuple[sa.ColumnElement[bool], ...]:
    """Whether a directory waits in the trash that was deleted alone: to be restored it needs the task's row."""
    return *waits(), deletions.c.directory_deleted, sa.not_(deletions.c.records_deleted)


def not_held(connection: Connection, spared: Sequence[Hold]) -> sa.ColumnElement[bool]:
    """Whether a deletion's task is under none of these holds."""
    return sa.not_(held(spared, deletions.c.task_id, sqlite=connection.dialect.name == "sqlite"))


def _behind(after: Record, column: sa.Column[Any], value: datetime | None) -> sa.ColumnElement[bool]:
    """Whether it comes behind a record in the order of this column, whose value there is given, and of the ids."""
    same = sa.and_(column == value, deletions.c.deletion_id > after.entry.deletion_id)
    return sa.and_(column >= value, sa.or_(column > value, same))
