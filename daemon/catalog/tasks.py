"""Reading and changing the pipeline's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog import database, foreign_keys, rows
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
) -> dict[str, LockedTask]:
    """Lock these tasks' rows and their steps' until the transaction ends, and read them; absent ids have no row.

    The transaction waits for none of these locks: the pipeline may want them in another order, and would be what
    PostgreSQL aborts. Of several tasks the one that somebody else has locked is left out as if it were absent:
    ``known_ids`` tells. Raises Locked, also through the connection, for a task alone and for a table: ``until_free``.
    """
    if connection.dialect.name == "sqlite":  # who writes there is alone
        _, _, read = _locking(tables, running_statuses, alone=True)
        found = list(connection.execute(read, {"ids": sorted(task_ids)}))
    elif len(task_ids) == 1:
        found = _lock_one(connection, tables, task_ids, running_statuses)
    else:
        found = _lock_several(connection, tables, task_ids, running_statuses)
    locked = {row.task_id: LockedTask(rows.from_row(row), bool(row._mapping["is_running"])) for row in found}
    if len(locked) < len(found):
        raise _ambiguous(next(name for name, number in Counter(row.task_id for row in found).items() if number > 1))
    return locked


# First the locks, so that what is read afterwards cannot change any more.
def _lock_one(
    connection: Connection, tables: PipelineTables, task_ids: Sequence[str], running_statuses: tuple[str, ...]
) -> list[sa.Row[Any]]:
    claim, claim_steps, read = _locking(tables, running_statuses, alone=True)
    wanted = {"ids": list(task_ids)}
    locks: list[Step] = [(tables.changing, {}), (claim, wanted)]
    if claim_steps is not None:  # a step that is set to running changes its own row only
        locks.append((claim_steps, wanted))
    return list(together(connection, [*locks, (read, wanted)]))


def _lock_several(
    connection: Connection, tables: PipelineTables, task_ids: Sequence[str], running_statuses: tuple[str, ...]
) -> list[sa.Row[Any]]:
    claim, claim_steps, read = _locking(tables, running_statuses, alone=False)
    claimed = list(together(connection, [(tables.changing, {}), (claim, {"ids": sorted(task_ids)})]).scalars())
    if not claimed:
        return []
    wanted = {"ids": claimed}
    if claim_steps is None:
        return list(together(connection, [(read, wanted)]))
    steps = Counter(together(connection, [(claim_steps, wanted)]).scalars())
    found = together(connection, [(read, wanted)])
    return [row for row in found if row._mapping["steps"] == steps[row.task_id]]  # else somebody has one of them


# Made once: to put a statement together takes longer than many a database to answer it.
@lru_cache(maxsize=8)
def _locking(
    tables: PipelineTables, running_statuses: tuple[str, ...], *, alone: bool
) -> tuple[sa.Select[Any], sa.Select[Any] | None, sa.Select[Any]]:
    """What locks the tasks ``ids``, what locks their steps, and what reads them.

    What others have locked is an error if the task is ``alone``, else left out.
    """
    c = tables.tasks.c
    skip = not alone
    claim = sa.select(c.task_id).where(c.task_id.in_(_IDS)).with_for_update(nowait=alone, skip_locked=skip)
    running = tables.running(running_statuses).label("is_running")
    read = sa.select(*rows.columns(tables), running).where(c.task_id.in_(_IDS))
    steps: sa.Select[Any] | None = None
    if tables.steps is not None:
        of_task = tables.steps.c.task_id
        steps = sa.select(of_task).where(of_task.in_(_IDS)).with_for_update(nowait=alone, skip_locked=skip)
        if not alone:
            number = sa.select(sa.func.count()).select_from(tables.steps).where(of_task == c.task_id)
            read = read.add_columns(number.scalar_subquery().label("steps"))
    # that locks too: a row may have been inserted since the claim
    return claim, steps, read.with_for_update(of=tables.tasks, nowait=alone, skip_locked=skip)


_NO_WAIT: Final = sa.text("SET LOCAL lock_timeout = 10")


def waiting_for_nothing(connection: Connection) -> list[Step]:
    """What makes a lock as good as not waited for, to the end of the transaction: Locked is raised instead.

    Before what may lock more of the pipeline's rows than ``lock`` has: by its foreign keys and triggers.
    """
    return [(_NO_WAIT, {})] if connection.dialect.name == "postgresql" else []


def wait_for_nothing(connection: Connection) -> None:
    """Do so now."""
    for statement, _ in waiting_for_nothing(connection):
        connection.execute(statement)


def _wait_again(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SET LOCAL lock_timeout = {round(database.LOCK_TIMEOUT_S * 1000)}"))


def find(connection: Connection, tables: PipelineTables, task_id: str) -> TaskRow | None:
    """The task's row, without a lock."""
    statement = sa.select(*rows.columns(tables)).where(tables.tasks.c.task_id == task_id)
    found = connection.execute(statement.limit(2)).all()
    if len(found) > 1:
        raise _ambiguous(task_id)
    return rows.from_row(found[0]) if found else None


def _ambiguous(task_id: str) -> TaskRefused:
    return TaskRefused(
        f"several rows have the id {task_id}, and nothing tells which of them is meant; the task stays until there is "
        "one of them",
        code=ErrorCode.TASK_CHANGED,
        details={"task_id": task_id},
    )


def marking_directory_gone(
    connection: Connection, tables: PipelineTables, task_ids: Sequence[str], stamp: datetime
) -> list[Step]:
    """What sets ``directory_exists`` false and ``updated_at`` to this wall time, which is in whole seconds.

    How many rows say so then is what the last comes to, for ``check_marked``.
    """
    wanted = {"ids": sorted(task_ids)}
    marking: Step = (_marking(tables), {**wanted, "stamp": stamp})
    return [*waiting_for_nothing(connection), marking, (_marked(tables), wanted)]


def mark_directory_there(connection: Connection, tables: PipelineTables, task_ids: Sequence[str], now: datetime) -> int:
    """Make rows that say that their directory is gone say that it is there; how many the database has changed.

    ``now``: wall time of the pipeline's zone.
    """
    wait_for_nothing(connection)
    c = tables.tasks.c
    statement = tables.tasks.update().where(c.task_id.in_(sorted(task_ids)), c.directory_exists.is_(False))
    return connection.execute(statement.values(directory_exists=True, updated_at=now.replace(microsecond=0))).rowcount


def check_marked(task_ids: Sequence[str], marked: int) -> None:
    """Raises TaskRefused (DELETION_FAILED) unless ``marking_directory_gone`` has marked the rows of all these."""
    if marked != len(task_ids):
        raise TaskRefused(
            f"not every row of {', '.join(sorted(task_ids)[:3])} can be told that its directory is gone: a trigger, "
            "rule or policy of the database keeps it as it is",
            code=ErrorCode.DELETION_FAILED,
        )


@lru_cache(maxsize=8)
def _marking(tables: PipelineTables) -> sa.Update:
    stamp = tables.stamped(sa.bindparam("stamp", type_=sa.DateTime))
    return (
        tables.tasks.update().where(tables.tasks.c.task_id.in_(_IDS)).values(directory_exists=False, updated_at=stamp)
    )


@lru_cache(maxsize=8)
def _marked(tables: PipelineTables) -> sa.Select[Any]:
    """What is there counts, not what was written: a trigger may have changed it again."""
    c = tables.tasks.c
    return sa.select(c.task_id).where(c.task_id.in_(_IDS), sa.not_(c.directory_exists))


def delete_records(connection: Connection, tables: PipelineTables, task_ids: Sequence[str]) -> None:
    """Delete the tasks' steps, then the tasks.

    Raises TaskRefused (RECORDS_IN_USE) if another table needs them, rows of other tasks would go with them, or they are
    there all the same.
    """
    if not task_ids:
        return
    wait_for_nothing(connection)
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
    _wait_again(connection)


def known_ids(connection: Connection, tables: PipelineTables, names: Sequence[str]) -> set[str]:
    """Which of ``names`` have a row."""
    found: set[str] = set()
    for start in range(0, len(names), 500):
        statement = sa.select(tables.tasks.c.task_id).where(tables.tasks.c.task_id.in_(names[start : start + 500]))
        found.update(connection.execute(statement).scalars())
    return found
