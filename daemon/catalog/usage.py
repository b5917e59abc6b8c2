"""How much the task directories hold, and what waits in the trash: of all, or of each user or database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import ledger
from daemon.catalog.ledger import Record, State
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import deletions, inventory

_COLUMNS: Final = {"user": "by_user", "database": "db_name"}


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes or inodes: in task directories as the last scan counted them, and waiting in the trash."""

    present: int
    waiting: int

    @property
    def total(self) -> int:
        return self.present + self.waiting


def of_root(connection: Connection, *, inodes: bool) -> Used:
    """All task directories, with and without a row."""
    present = sa.select(_sum(inventory.c, inodes)).where(sa.not_(_gone()))
    waiting = sa.select(_sum(deletions.c, inodes)).where(*_waits())
    return Used(int(connection.execute(present).scalar_one()), int(connection.execute(waiting).scalar_one()))


def by_group(connection: Connection, tables: PipelineTables, of: str, *, inodes: bool) -> dict[str, Used]:
    """Of each ``user`` or ``database`` that a row names."""
    tasks = tables.tasks
    group = tasks.c[_COLUMNS[of]]
    present = (
        sa.select(group, _sum(inventory.c, inodes))
        .join_from(inventory, tasks, tasks.c.task_id == inventory.c.task_id)
        .where(group.is_not(None), sa.not_(_gone()))
        .group_by(group)
    )
    waiting = (
        sa.select(group, _sum(deletions.c, inodes))
        .join_from(deletions, tasks, tasks.c.task_id == deletions.c.task_id)
        .where(group.is_not(None), *_waits())
        .group_by(group)
    )
    sums: tuple[Mapping[str, int], ...] = tuple(
        {str(name): int(used) for name, used in connection.execute(statement)} for statement in (present, waiting)
    )
    return {name: Used(sums[0].get(name, 0), sums[1].get(name, 0)) for name in sorted({*sums[0], *sums[1]})}


def oldest_waiting(connection: Connection, tables: PipelineTables, of: str, group: str | None) -> Record | None:
    """What has waited in the trash longest; of a group, if one is named."""
    if group is None:
        found = ledger.oldest_retained(connection, 1)
        return found[0] if found else None
    tasks = tables.tasks
    statement = (
        sa.select(deletions.c.deletion_id)
        .join_from(deletions, tasks, tasks.c.task_id == deletions.c.task_id)
        .where(tasks.c[_COLUMNS[of]] == group, deletions.c.directory_deleted, *_waits())
        .order_by(deletions.c.committed_at, deletions.c.deletion_id)
        .limit(1)
    )
    deletion_id = connection.execute(statement).scalar_one_or_none()
    return None if deletion_id is None else ledger.find(connection, [deletion_id])[deletion_id]


def _sum(columns: Any, inodes: bool) -> sa.ColumnElement[int]:
    value = columns.files + columns.directories if inodes else columns.freed_bytes
    return sa.func.coalesce(sa.func.sum(value), 0)


def _gone() -> sa.ColumnElement[bool]:
    """Whether the directory was deleted after the last scan that met it."""
    c = deletions.c
    return sa.exists().where(
        c.task_id == inventory.c.task_id,
        c.directory_deleted,
        c.state.in_((State.COMMITTED, State.PURGED)),
        c.committed_at >= inventory.c.last_seen_at,
    )


def _waits() -> tuple[sa.ColumnElement[bool], ...]:
    return deletions.c.state == State.COMMITTED, deletions.c.purge_after.is_not(None)
