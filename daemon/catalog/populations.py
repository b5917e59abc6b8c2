"""What a policy looks at: the tasks of the catalog, or the directories that have no row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import rows, trashed
from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.patterns import is_task_id
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import UtcDateTime, deletions, inventory
from daemon.policy.models import Policy

Expression = sa.ColumnElement[bool]

SIGHTINGS: Final = 2
"""Scans in a row that have to meet a directory without a row before it is an orphan: its row may come, or come back."""

MEASURED: Final = ("files", "directories", "size_bytes", "freed_bytes", "modified_at", "first_seen_at")


@dataclass(frozen=True, slots=True)
class Measured:
    """What the last scan found of a directory; all None if none has counted it. Instants are aware."""

    files: int | None
    directories: int | None
    size_bytes: int | None
    freed_bytes: int | None
    modified_at: datetime | None
    first_seen_at: datetime | None

    def takes(self, *, inodes: bool) -> int | None:
        """The inodes, or else the bytes on the disk, that its removal gives back."""
        if not inodes:
            return self.freed_bytes
        return None if self.files is None else self.files + (self.directories or 0)


def to_json(measured: Measured) -> dict[str, Any]:
    """As JSON has it: instants in ISO 8601, in UTC."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(measured).items()
    }


def from_json(values: Mapping[str, Any]) -> Measured:
    """What ``to_json`` made this of."""
    stamps = {name: datetime.fromisoformat(text) for name, text in values.items() if name.endswith("_at") and text}
    # one that was stored before its directories were asked for lacks them
    return Measured(**{"directories": None, **values, **stamps})


@dataclass(frozen=True, slots=True)
class Population:
    """Where the rows come from, and what they are called there.

    ``row``: the columns of a task's row by name; of a directory without one they are NULL, except its name.
    ``since``: the date a task's age counts from; ``ranked``: the one ``keep.last`` ranks by. Both compare with
    ``before``, which gives the moment so long before an instant. ``first_seen``: when scans first met it as what it is.
    """

    source: sa.FromClause
    columns: Sequence[sa.ColumnElement[Any]]
    row: Mapping[str, sa.ColumnElement[Any]]
    where: Expression
    task_id: sa.ColumnElement[Any]
    running: Expression
    since: sa.ColumnElement[Any]
    ranked: sa.ColumnElement[Any]
    first_seen: sa.ColumnElement[Any]
    before: Callable[[Instant, timedelta], sa.ColumnElement[Any]]


def measured_of(connection: Connection, task_id: str, *, orphan: bool) -> Measured | None:
    """What scans found of the directory, of one without a row if it is an ``orphan``; None if they never met it."""
    columns = _measured(inventory.c.orphan_since if orphan else inventory.c.first_seen_at)
    statement = sa.select(*columns).where(inventory.c.task_id == task_id)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Measured(*row)


def tasks_of(
    policy: Policy, tables: PipelineTables, timeline: Timeline, running: tuple[str, ...], *, measured: bool
) -> Population:
    """The tasks a policy looks at; with ``measured``, beside what the last scan found of them."""
    c = tables.tasks.c
    source: sa.FromClause = tables.tasks
    columns = list(rows.columns(tables))
    row = _by_name(columns)
    if measured:
        source = tables.tasks.outerjoin(inventory, inventory.c.task_id == c.task_id)
        columns += _measured(inventory.c.first_seen_at)
    return Population(
        source=source,
        columns=columns,
        row=row,
        where=looked_at(policy, tables.tasks, sqlite=timeline.sqlite),
        task_id=c.task_id,
        running=tables.running(running),
        since=_first(timeline, c.completed_at, c.started_at, c.created_at),
        ranked=ranking_date(timeline, tables.tasks),
        first_seen=inventory.c.first_seen_at,
        before=timeline.before,
    )


def looked_at(policy: Policy, tasks: sa.FromClause, *, sqlite: bool) -> Expression:
    """What was never a task id is no candidate.

    Records alone may go only after their directory has gone for good: they are all that says whose it was.
    """
    named = is_task_id(tasks.c.task_id, sqlite=sqlite)
    has_directory = sa.func.coalesce(tasks.c.directory_exists, sa.true())
    if policy.action.what != "records":
        return sa.and_(has_directory, named)
    waits = sa.exists().where(deletions.c.task_id == tasks.c.task_id, *trashed.needs_row())
    return sa.and_(sa.not_(has_directory), named, sa.not_(waits))


def ranking_date(timeline: Timeline, tasks: sa.FromClause) -> sa.ColumnElement[Any]:
    """The date ``keep.last`` ranks a task by."""
    return _first(timeline, tasks.c.created_at, tasks.c.started_at, tasks.c.completed_at)


def _first(timeline: Timeline, *dates: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The first that there is; none, if that one cannot be read: what it says may be the youngest of them."""
    return sa.case(*((date.is_not(None), timeline.known(date)) for date in dates))


def orphans(tables: PipelineTables) -> Population:
    """The directories that enough scans have met without a row, as old as that is."""
    c = inventory.c
    has_row = sa.exists().where(tables.tasks.c.task_id == c.task_id)
    named: dict[str, sa.ColumnElement[Any]] = {"task_id": c.task_id, "directory_exists": sa.true()}
    columns = [
        named.get(column.name, sa.cast(sa.null(), column.type)).label(column.name) for column in rows.columns(tables)
    ]
    return Population(
        source=inventory,
        columns=[*columns, *_measured(c.orphan_since)],
        row=_by_name(columns),
        where=sa.and_(sa.not_(has_row), c.orphan_sightings >= SIGHTINGS),
        task_id=c.task_id,
        running=sa.false(),
        since=c.orphan_since,
        ranked=c.orphan_since,
        first_seen=c.orphan_since,
        before=utc_before,
    )


def _measured(first_seen: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
    return [first_seen.label(name) if name == "first_seen_at" else inventory.c[name] for name in MEASURED]


def _by_name(columns: Sequence[sa.ColumnElement[Any]]) -> dict[str, sa.ColumnElement[Any]]:
    return dict(zip(rows.TaskRow.__slots__, columns, strict=True))


def utc_before(instant: Instant, age: timedelta) -> sa.ColumnElement[Any]:
    """The moment that lay ``age`` before ``instant``, for sweepd's own columns."""
    return sa.literal(instant.utc - age, UtcDateTime)
