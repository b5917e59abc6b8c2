"""Lists of tasks by pages: filters, orders, and pages that begin behind the last row of another (keyset paging).

A page is read in two parts, the rows that have what they are sorted by and those that lack it, which come last in
either direction: so each part is in the order of an index, from any place on.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import rows
from daemon.catalog.dates import FIRST, LAST
from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.patterns import contains
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.rows import TaskRow
from daemon.catalog.tables import inventory

Key: TypeAlias = str | int | None
Compare: TypeAlias = Callable[[sa.ColumnElement[Any], Any], sa.ColumnElement[bool]]

# SQLite does not know how many tasks have a status: up to here they are found by it and sorted.
_FEW: Final = 20_000
# SQLite's order: numbers, texts, blobs.
_TEXTS: Final = sa.literal_column("''", sa.String)
_BLOBS: Final = sa.literal_column("x''", sa.String)
# More than any offset that a timestamp may have been written with.
_MARGIN: Final = timedelta(days=2)


class NotAPlace(Exception):
    """Where a page was to begin is no place in the order of its list."""


class SortBy(StrEnum):
    """What a list is sorted by; ties go by task id, in the same direction."""

    CREATED = "created"
    UPDATED = "updated"
    SIZE = "size"
    TASK_ID = "task_id"


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list."""

    by: SortBy = SortBy.CREATED
    descending: bool = True


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks; what is None (or empty) does not matter. ``older_than``: by ``created``, as in a policy.

    ``text``: a part of the task's id or name, whatever the case of A to Z.
    """

    statuses: Sequence[str] = ()
    directory_exists: bool | None = None
    user: str | None = None
    database: str | None = None
    text: str | None = None
    older_than: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A row's place in an order: its key as JSON has it (None: it has none), and its task id."""

    key: Key
    task_id: str


@dataclass(frozen=True, slots=True)
class TaskPage:
    """``total`` of all pages, None if it was not asked for; ``end``: the last row's place, if there is more."""

    tasks: tuple[TaskRow, ...]
    total: int | None
    end: Place | None


class TaskList:
    """The tasks that a filter lets through, in one order, on one installation at one instant."""

    def __init__(
        self, tables: PipelineTables, timeline: Timeline, now: Instant, wanted: TaskFilter, order: Order
    ) -> None:
        self._tables = tables
        self._timeline = timeline
        self._now = now
        self._wanted = wanted
        self._order = order

    def page(
        self, connection: Connection, *, limit: int, offset: int = 0, after: Place | None = None, counted: bool = True
    ) -> TaskPage:
        """So many tasks, behind ``after`` if it is given. Raises NotAPlace if that is none in this order."""
        found: list[Any] = []
        for part in self._parts(connection, after):
            if len(found) > limit:
                break
            some = connection.execute(part.limit(limit + 1 - len(found)).offset(offset)).all()
            offset = max(0, offset - self._count(connection, part)) if offset and not some else 0
            found += some
        total = self._count(connection, *self._parts(connection, None)) if counted else None
        shown = found[:limit]
        end = self._place(shown[-1]) if len(found) > limit else None
        return TaskPage(tuple(rows.from_row(row) for row in shown), total, end)

    def _parts(self, connection: Connection, after: Place | None) -> Iterator[sa.Select[Any]]:
        task_id = (inventory if self._order.by is SortBy.SIZE else self._tables.tasks).c.task_id
        direction = sa.desc if self._order.descending else sa.asc
        key, has, lacks = self._key()
        selected = [*rows.columns(self._tables), key.label("sort_key")]
        where = self._conditions(connection)
        if after is None or after.key is not None:
            first = sa.select(*selected).select_from(self._source()).where(has, *where)
            if after is not None:
                bound, behind = self._bound(after.key), self._behind(task_id, after.task_id)
                if self._order.by is SortBy.TASK_ID:
                    first = first.where(behind)
                elif self._order.by is SortBy.SIZE:  # many may be of one size: the index has both columns
                    first = first.where(self._behind(sa.tuple_(key, task_id), sa.tuple_(bound, after.task_id)))
                else:  # the first part alone says where an index begins
                    first = first.where(_to(key, bound, self._order), sa.or_(self._behind(key, bound), behind))
            order = [task_id] if self._order.by is SortBy.TASK_ID else [key, task_id]
            yield first.order_by(*map(direction, order))
        if lacks is not None:
            last = sa.select(*rows.columns(self._tables), sa.null().label("sort_key")).where(lacks, *where)
            if after is not None and after.key is None:
                last = last.where(self._behind(self._tables.tasks.c.task_id, after.task_id))
            yield last.order_by(direction(self._tables.tasks.c.task_id))

    def _source(self) -> sa.FromClause:
        tasks = self._tables.tasks
        if self._order.by is not SortBy.SIZE:
            return tasks
        return inventory.join(tasks, tasks.c.task_id == inventory.c.task_id)

    def _key(self) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[bool], sa.ColumnElement[bool] | None]:
        """What is sorted by, which rows have it, and which lack it."""
        c, size = self._tables.tasks.c, inventory.c.size_bytes
        match self._order.by:
            case SortBy.TASK_ID:
                return c.task_id, sa.true(), None
            case SortBy.SIZE:
                counted = sa.exists().where(inventory.c.task_id == c.task_id, size.is_not(None))
                return size, size.is_not(None), sa.not_(counted)
        column = c.created_at if self._order.by is SortBy.CREATED else c.updated_at
        # SQLite keeps text, in whatever form it was written: it is compared as it is
        if self._timeline.sqlite:
            text = sa.type_coerce(column, sa.String)  # which sorts behind numbers and before anything else
            has = sa.and_(text >= _TEXTS, text < _BLOBS)
            return text, has, sa.or_(column.is_(None), text < _TEXTS, text >= _BLOBS)
        # what cannot be read is no place to go on from
        beyond = [column < FIRST, column > LAST]
        return column, column.between(FIRST, LAST), sa.or_(column.is_(None), *beyond)

    def _behind(self, column: sa.ColumnElement[Any] | sa.Tuple, bound: Any) -> sa.ColumnElement[bool]:
        compare: Compare = operator.lt if self._order.descending else operator.gt
        return compare(column, bound)

    def _bound(self, key: Key) -> Any:
        by = self._order.by
        if isinstance(key, bool) or not isinstance(key, int if by is SortBy.SIZE else str):
            raise NotAPlace
        if by is SortBy.TASK_ID or isinstance(key, int) or self._timeline.sqlite:
            return key
        try:
            return sa.literal(datetime.fromisoformat(key).replace(tzinfo=None), sa.DateTime)
        except ValueError:
            raise NotAPlace from None

    def _place(self, row: Any) -> Place:
        key = row.sort_key
        return Place(key.isoformat() if isinstance(key, datetime) else key, row.task_id)

    def _count(self, connection: Connection, *parts: sa.Select[Any]) -> int:
        """How many there are in these parts."""
        total = 0
        for part in parts:
            bare = part.with_only_columns(sa.func.count(), maintain_column_froms=True).order_by(None)
            total += int(connection.execute(bare).scalar_one())
        return total

    def _conditions(self, connection: Connection) -> list[sa.ColumnElement[bool]]:
        c, wanted = self._tables.tasks.c, self._wanted
        parts: list[sa.ColumnElement[bool]] = []
        if wanted.statuses:
            parts.append(self._status(connection, c.status, wanted.statuses))
        if wanted.directory_exists is not None:
            has = self._tables.has_directory
            parts.append(has if wanted.directory_exists else sa.not_(has))
        for column, value in ((c.by_user, wanted.user), (c.db_name, wanted.database)):
            if value is not None:
                parts.append(column == value)
        if wanted.text is not None:
            columns = [c.task_id, c.task_name] if self._tables.has_task_name else [c.task_id]
            parts.append(sa.or_(*(contains(one, wanted.text, sqlite=self._timeline.sqlite) for one in columns)))
        if wanted.older_than is not None:
            sqlite = self._timeline.sqlite
            created = self._timeline.known(c.created_at) if sqlite else c.created_at  # which has an index
            parts.append(created <= self._timeline.before(self._now, wanted.older_than))
            if not sqlite:
                parts.append(c.created_at >= FIRST)
            else:
                day = f"{self._now.utc - wanted.older_than + _MARGIN:%Y-%m-%d}"
                parts.append(sa.type_coerce(c.created_at, sa.String) < day)
        return parts

    def _status(self, connection: Connection, column: Any, statuses: Sequence[str]) -> sa.ColumnElement[bool]:
        plain: sa.ColumnElement[bool] = column.in_(statuses)
        if not self._timeline.sqlite or self._order.by is SortBy.TASK_ID:
            return plain
        some = sa.select(sa.literal(1)).where(plain).limit(_FEW).subquery()
        if connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one() < _FEW:
            return plain
        return sa.func.coalesce(column, "").in_(statuses)  # by the index of the order, not by that of the status


def _to(column: sa.ColumnElement[Any], bound: Any, order: Order) -> sa.ColumnElement[bool]:
    compare: Compare = operator.le if order.descending else operator.ge
    return compare(column, bound)
