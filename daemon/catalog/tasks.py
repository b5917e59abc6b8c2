"""Reading and changing the pipeline's rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import rows
from daemon.catalog.instants import Instant
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.rows import TaskRow


@dataclass(frozen=True, slots=True)
class LockedTask:
    """A row under lock, and whether the task is running."""

    row: TaskRow
    running: bool


def lock(
    connection: Connection, tables: PipelineTables, task_id: str, running_statuses: tuple[str, ...]
) -> LockedTask | None:
    """Lock the task's row until the transaction ends, and read it; None if there is none.

    Raises through the connection: TaskRefused (TASK_BUSY) when the lock is not to be had in time.
    """
    c = tables.tasks.c
    # Two statements: FOR UPDATE first, so that what the second reads cannot change any more.
    locked = connection.execute(sa.select(c.task_id).where(c.task_id == task_id).with_for_update()).one_or_none()
    if locked is None:
        return None
    statement = sa.select(*rows.columns(tables), tables.running(running_statuses).label("is_running"))
    row = connection.execute(statement.where(c.task_id == task_id)).one()
    return LockedTask(rows.from_row(row), bool(row._mapping["is_running"]))


def mark_directory_gone(connection: Connection, tables: PipelineTables, task_id: str, now: Instant) -> datetime:
    """Set ``directory_exists`` false and ``updated_at`` to now, in whole seconds; returns that wall time."""
    stamp = now.local.replace(microsecond=0)
    tasks = tables.tasks
    connection.execute(
        tasks.update().where(tasks.c.task_id == task_id).values(directory_exists=False, updated_at=stamp)
    )
    return stamp


def delete_records(connection: Connection, tables: PipelineTables, task_id: str) -> None:
    """Delete the task's steps, then the task."""
    if tables.steps is not None:
        connection.execute(tables.steps.delete().where(tables.steps.c.task_id == task_id))
    connection.execute(tables.tasks.delete().where(tables.tasks.c.task_id == task_id))


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of the list, newest first, and how many tasks there are in all."""

    tasks: tuple[TaskRow, ...]
    total: int


def page(connection: Connection, tables: PipelineTables, *, limit: int, offset: int, status: str | None) -> TaskPage:
    """Tasks by creation, newest first, those without a date last."""
    c = tables.tasks.c
    only: list[sa.ColumnElement[bool]] = [] if status is None else [c.status == status]
    total = connection.execute(sa.select(sa.func.count()).select_from(tables.tasks).where(*only)).scalar_one()
    statement: sa.Select[Any] = (
        sa.select(*rows.columns(tables))
        .where(*only)
        .order_by(c.created_at.desc().nulls_last(), c.task_id.desc())
        .limit(limit)
        .offset(offset)
    )
    return TaskPage(tuple(rows.from_row(row) for row in connection.execute(statement)), int(total))


def known_ids(connection: Connection, tables: PipelineTables, names: list[str]) -> set[str]:
    """Which of ``names`` have a row."""
    found: set[str] = set()
    for start in range(0, len(names), 500):
        statement = sa.select(tables.tasks.c.task_id).where(tables.tasks.c.task_id.in_(names[start : start + 500]))
        found.update(connection.execute(statement).scalars())
    return found
