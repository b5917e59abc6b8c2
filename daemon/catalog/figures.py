"""Numbers that a sweep is held against before it deletes anything: what was there before, and what is there now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.among import among
from daemon.catalog.ledger import State
from daemon.catalog.patterns import is_task_id
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import deletions, inventory, scans, sweeps

# As the sweeps' own table has it: those that came to their end.
_ENDED: Final = ("success", "partial", "observed")


@dataclass(frozen=True, slots=True)
class LastSweep:
    """How many tasks the last sweep that came to its end looked at; ``started_at`` is aware."""

    considered: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Scan:
    """A completed scan of the storage root; ``finished_at`` is aware."""

    finished_at: datetime
    directories: int
    orphans: int


def task_rows(connection: Connection, tables: PipelineTables) -> int:
    """How many tasks the pipeline's table has."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(tables.tasks)).scalar_one())


def rows_with_directory(connection: Connection, tables: PipelineTables) -> int:
    """How many tasks have a directory, by their rows; one whose id can name none is no task."""
    named = is_task_id(tables.tasks.c.task_id, sqlite=connection.dialect.name == "sqlite")
    statement = sa.select(sa.func.count()).select_from(tables.tasks).where(tables.has_directory, named)
    return int(connection.execute(statement).scalar_one())


def some_with_directory(connection: Connection, tables: PipelineTables, limit: int, *, newest: bool) -> list[str]:
    """Return the ids of some tasks that have a directory, by their rows: the first or the last ones by id."""
    task_id = tables.tasks.c.task_id
    named = is_task_id(task_id, sqlite=connection.dialect.name == "sqlite")
    chosen = sa.select(task_id).where(tables.has_directory, named)
    statement = chosen.order_by(task_id.desc() if newest else task_id)
    return list(connection.execute(statement.limit(limit)).scalars())


def with_row(connection: Connection, tables: PipelineTables, names: Sequence[str]) -> dict[str, bool]:
    """Return which of these have a row, and whether that says that they have a directory."""
    task_id = tables.tasks.c.task_id
    these = among(task_id, names, sqlite=connection.dialect.name == "sqlite")
    found = connection.execute(sa.select(task_id, tables.has_directory).where(these))
    return {name: bool(has_directory) for name, has_directory in found}


def selected_before(connection: Connection, policy: str, limit: int, *, idle: bool = True) -> list[int]:
    """How many tasks the policy's last sweeps selected, the latest first; only of those that came to their end.

    ``idle``: those that selected none count.
    """
    c = sweeps.c
    statement = sa.select(c.selected).where(c.policy == policy, c.outcome.in_(_ENDED))
    if not idle:
        statement = statement.where(c.selected > 0)
    return [int(n) for n in connection.execute(statement.order_by(c.started_at.desc()).limit(limit)).scalars()]


def last_sweep(connection: Connection, policies: Sequence[str]) -> LastSweep | None:
    """The last sweep of any of these policies that came to its end."""
    c = sweeps.c
    statement = (
        sa.select(c.considered, c.started_at)
        .where(c.policy.in_(policies), c.outcome.in_(_ENDED))
        .order_by(c.started_at.desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else LastSweep(*row)


def records_deleted_since(connection: Connection, since: datetime) -> int:
    """How many tasks lost their rows to deletions of ours, committed after ``since``."""
    c = deletions.c
    statement = sa.select(sa.func.count()).where(
        c.committed_at > since, c.records_deleted, c.state.in_((State.COMMITTED, State.PURGED))
    )
    return int(connection.execute(statement).scalar_one())


def last_scans(connection: Connection, limit: int) -> list[Scan]:
    """The last completed scans, the latest first."""
    c = scans.c
    statement = (
        sa.select(c.finished_at, c.directories, c.orphans)
        .where(c.finished_at.is_not(None), c.orphans.is_not(None))
        .order_by(c.finished_at.desc())
        .limit(limit)
    )
    return [Scan(*row) for row in connection.execute(statement)]


def directories(connection: Connection) -> int:
    """How many directories the inventory knows."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(inventory)).scalar_one())


def signatures(connection: Connection, task_ids: Sequence[str]) -> dict[str, str]:
    """Which directories the last scan saw under these names."""
    if not task_ids:
        return {}
    c = inventory.c
    these = among(c.task_id, task_ids, sqlite=connection.dialect.name == "sqlite")
    found = connection.execute(sa.select(c.task_id, c.signature).where(these))
    return {row.task_id: row.signature for row in found}
