"""How much the task directories hold, and what waits in the trash: of all, or of each user or database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import trashed
from daemon.catalog.holds import Hold
from daemon.catalog.ledger import Record, State
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import deletions, inventory, snapshots

_COLUMNS: Final = {"user": "by_user", "database": "db_name"}


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes or inodes: in task directories as the last scan counted them, waiting in the trash, and held of that."""

    present: int
    waiting: int
    held: int

    @property
    def total(self) -> int:
        return self.present + self.waiting

    @property
    def purgeable(self) -> int:
        """What a purge of the trash frees."""
        return self.waiting - self.held


def of_root(connection: Connection, holds: Sequence[Hold], *, inodes: bool) -> Used:
    """All task directories, with and without a row."""
    present = sa.select(_sum(inventory.c, inodes)).where(sa.not_(_gone()))
    waiting = sa.select(_sum(deletions.c, inodes)).where(*trashed.waits())
    statements = (present, waiting, waiting.where(_held(connection, holds)))
    return Used(*(int(connection.execute(statement).scalar_one()) for statement in statements))


def by_group(
    connection: Connection, tables: PipelineTables, holds: Sequence[Hold], of: str, *, inodes: bool
) -> dict[str, Used]:
    """Of each ``user`` or ``database`` that a row names, or one did that waits in the trash too."""
    tasks = tables.tasks
    group = tasks.c[_COLUMNS[of]]
    present = (
        sa.select(group, _sum(inventory.c, inodes))
        .join_from(inventory, tasks, tasks.c.task_id == inventory.c.task_id)
        .where(group.is_not(None), sa.not_(_gone()))
        .group_by(group)
    )
    statements = [present]
    for held in ((), (_held(connection, holds),)):
        amounts = (deletions.c[name] for name in ("files", "directories", "freed_bytes"))
        each = (
            sa.select(_owner(connection, tables, of).label("owner"), *amounts).where(*trashed.waits(), *held).subquery()
        )
        statements.append(
            sa.select(each.c.owner, _sum(each.c, inodes)).where(each.c.owner.is_not(None)).group_by(each.c.owner)
        )
    sums: tuple[Mapping[str, int], ...] = tuple(
        {str(name): int(used) for name, used in connection.execute(statement)} for statement in statements
    )
    return {name: Used(*(each.get(name, 0) for each in sums)) for name in sorted({*sums[0], *sums[1]})}


def oldest_waiting(
    connection: Connection,
    tables: PipelineTables,
    of: str,
    group: str | None,
    *,
    spared: Sequence[Hold],
    after: Record | None,
) -> Record | None:
    """What has waited in the trash longest, as ``trashed.oldest`` finds it; of a group, if one is named."""
    only = None if group is None else _owner(connection, tables, of) == group
    return trashed.oldest(connection, spared=spared, after=after, only=only)


def _sum(columns: Any, inodes: bool) -> sa.ColumnElement[int]:
    value = columns.files + columns.directories if inodes else columns.freed_bytes
    return sa.func.coalesce(sa.func.sum(value), 0)


def _owner(connection: Connection, tables: PipelineTables, of: str) -> sa.ColumnElement[str]:
    """Whose a deletion is: as the task's row says, or, if that was deleted with it, as its copy does."""
    name, tasks, copy = _COLUMNS[of], tables.tasks, snapshots.c.task
    if connection.dialect.name == "sqlite":
        kept: sa.ColumnElement[str] = sa.func.json_extract(copy, f"$.{name}", type_=sa.Text)
    else:
        kept = sa.cast(copy, sa.JSON).op("->>", return_type=sa.Text())(name)
    of_copy = sa.select(kept).where(snapshots.c.deletion_id == deletions.c.deletion_id).scalar_subquery()
    of_row = sa.select(tasks.c[name]).where(tasks.c.task_id == deletions.c.task_id).scalar_subquery()
    return sa.case((deletions.c.records_deleted, of_copy), else_=of_row)


def _gone() -> sa.ColumnElement[bool]:
    """Whether the directory was deleted after the last scan that met it."""
    c = deletions.c
    return sa.exists().where(
        c.task_id == inventory.c.task_id,
        c.directory_deleted,
        c.state.in_((State.COMMITTED, State.PURGED)),
        c.committed_at >= inventory.c.last_seen_at,
    )


def _held(connection: Connection, holds: Sequence[Hold]) -> sa.ColumnElement[bool]:
    return sa.not_(trashed.not_held(connection, holds))
