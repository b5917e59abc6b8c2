"""Reading and changing the pipeline's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog import foreign_keys, rows
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.rows import TaskRow
from daemon.catalog.together import Step, together
from daemon.errors import ErrorCode, TaskRefused

_IDS: Final = sa.bindparam("ids", type_=sa.String, expanding=True)


@dataclass(frozen=True, slots=True)
class LockedTask:
    """A row under lock, and whether the task is running."""

    row: TaskRow
    running: bool


def lock(
    connection: Connection,
    tables: PipelineTables,
    task_ids: Sequence[str],
    running_statuses: tuple[str, ...],
    *,
    wait: bool = True,
) -> dict[str, LockedTask]:
    """Lock these tasks' rows and their steps' until the transaction ends, and read them; absent ids have no row.

    Without ``wait`` a row that somebody else has locked is left out as if it were absent: ``known_ids`` tells.
    Raises through the connection: TaskRefused (TASK_BUSY) when a lock is not to be had in time.
    """
    claim, claim_steps, read = _locking(tables, running_statuses, wait=wait)
    wanted = {"ids": sorted(task_ids)}
    if connection.dialect.name == "sqlite":  # who writes there is alone
        found = connection.execute(read, wanted)
    else:
        # First the locks, in one order for everybody, so that what is read afterwards cannot change any more.
        locks: list[Step] = [(claim, wanted)]
        if not wait:  # of those that are left out nothing is waited for
            wanted = {"ids": list(together(connection, locks).scalars())}
            locks = []
            if not wanted["ids"]:
                return {}
        if claim_steps is not None:  # a step that is set to running changes its own row only
            locks.append((claim_steps, wanted))
        found = together(connection, [*locks, (read, wanted)])
    return {row.task_id: LockedTask(rows.from_row(row), bool(row._mapping["is_running"])) for row in found}


# Made once: to put a statement together takes longer than many a database to answer it.
@lru_cache(maxsize=8)
def _locking(
    tables: PipelineTables, running_statuses: tuple[str, ...], *, wait: bool
) -> tuple[sa.Select[Any], sa.Select[Any] | None, sa.Select[Any]]:
    """What locks the tasks ``ids``, what locks their steps, and what reads them."""
    c = tables.tasks.c
    claim = sa.select(c.task_id).where(c.task_id.in_(_IDS)).order_by(c.task_id).with_for_update(skip_locked=not wait)
    steps: sa.Select[Any] | None = None
    if tables.steps is not None:
        of_task = tables.steps.c.task_id
        steps = sa.select(of_task).where(of_task.in_(_IDS)).with_for_update()
    running = tables.running(running_statuses).label("is_running")
    read = sa.select(*rows.columns(tables), running).where(c.task_id.in_(_IDS))
    # that locks too: a row may have been inserted since the claim
    return claim, steps, read.with_for_update(of=tables.tasks)


def find(connection: Connection, tables: PipelineTables, task_id: str) -> TaskRow | None:
    """The task's row, without a lock."""
    statement = sa.select(*rows.columns(tables)).where(tables.tasks.c.task_id == task_id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else rows.from_row(row)


def marking_directory_gone(tables: PipelineTables, task_ids: Sequence[str], stamp: datetime) -> Step:
    """What sets ``directory_exists`` false and ``updated_at`` to this wall time, which is in whole seconds.

    How many rows it has changed is for ``check_marked``.
    """
    return _marking(tables), {"ids": sorted(task_ids), "stamp": stamp}


def mark_directory_there(connection: Connection, tables: PipelineTables, task_ids: Sequence[str], now: datetime) -> int:
    """Make rows that say that their directory is gone say that it is there; how many the database has changed.

    ``now``: wall time of the pipeline's zone.
    """
    c = tables.tasks.c
    statement = tables.tasks.update().where(c.task_id.in_(sorted(task_ids)), c.directory_exists.is_(False))
    return connection.execute(statement.values(directory_exists=True, updated_at=now.replace(microsecond=0))).rowcount


def check_marked(task_ids: Sequence[str], changed: int) -> None:
    """Raises TaskRefused (DELETION_FAILED) unless ``marking_directory_gone`` has changed the rows of all these."""
    if changed != len(task_ids):
        raise TaskRefused(
            f"not every row of {', '.join(sorted(task_ids)[:3])} can be told that its directory is gone: a trigger, "
            "rule or policy of the database keeps it as it is",
            code=ErrorCode.DELETION_FAILED,
        )


@lru_cache(maxsize=8)
def _marking(tables: PipelineTables) -> sa.Update:
    stamp = sa.bindparam("stamp", type_=sa.DateTime)
    return (
        tables.tasks.update().where(tables.tasks.c.task_id.in_(_IDS)).values(directory_exists=False, updated_at=stamp)
    )


def delete_records(connection: Connection, tables: PipelineTables, task_ids: Sequence[str]) -> None:
    """Delete the tasks' steps, then the tasks.

    Raises TaskRefused (RECORDS_IN_USE) if another table needs them, rows of other tasks would go with them, or they are
    there all the same.
    """
    if not task_ids:
        return
    chosen = sorted(task_ids)
    foreign_keys.check_others_stay(connection, chosen)
    try:
        if tables.steps is not None:
            connection.execute(tables.steps.delete().where(tables.steps.c.task_id.in_(chosen)))
        gone = connection.execute(tables.tasks.delete().where(tables.tasks.c.task_id.in_(chosen))).rowcount
    except exc.IntegrityError as error:
        first_line = str(error.orig).strip().splitlines()[0]
        raise TaskRefused(
            f"the records of {', '.join(chosen[:3])} are referenced by another table ({first_line}); delete those "
            "first, or delete the directory alone",
            code=ErrorCode.RECORDS_IN_USE,
        ) from error
    # fewer also if some went with others, by a key among themselves
    left = sorted(known_ids(connection, tables, chosen)) if gone < len(chosen) else []
    if left:
        raise TaskRefused(
            f"the records of {', '.join(left[:3])} do not go when they are deleted: a trigger, rule or policy of the "
            "database keeps them; delete the directory alone",
            code=ErrorCode.RECORDS_IN_USE,
        )


def known_ids(connection: Connection, tables: PipelineTables, names: Sequence[str]) -> set[str]:
    """Which of ``names`` have a row."""
    found: set[str] = set()
    for start in range(0, len(names), 500):
        statement = sa.select(tables.tasks.c.task_id).where(tables.tasks.c.task_id.in_(names[start : start + 500]))
        found.update(connection.execute(statement).scalars())
    return found
