"""The pipeline's two tables as sweepd reads them: only the columns it needs.

``parameters`` (which holds a password), ``result`` and ``error_message`` are not described here, so no statement
of sweepd can ever fetch them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.engine import Connection
from sqlalchemy.sql.operators import OperatorType

from daemon.catalog import pipeline_schema
from daemon.catalog.dates import WALL_TIME
from daemon.catalog.pipeline_schema import STEPS, TASKS, Table
from daemon.errors import CatalogNotReady

RUNNING_STEP: Final = "running"


class _AsText(sa.Text):
    """A column that is no text, such as an enum: it is compared and read as the text it is written as."""

    class comparator_factory(sa.Text.Comparator[Any]):
        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            return op(_as_text(self.expr), *(_plain(one) for one in other), **kwargs)  # type: ignore[no-any-return]

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return _as_text(column)


class _WallOf(sa.DateTime):
    """A ``timestamptz``: it is compared and read as the wall time of the zone the pipeline writes the others in."""

    class comparator_factory(sa.DateTime.Comparator[Any]):
        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            return op(wall(self.expr), *(_plain(one) for one in other), **kwargs)  # type: ignore[no-any-return]

    def __init__(self, zone: str | None) -> None:
        super().__init__()
        self.zone = zone

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return wall(column)


def wall(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The wall time that a date of the pipeline's means, whatever its type."""
    kind = column.type
    if not isinstance(kind, _WallOf):
        return column
    moment = sa.type_coerce(column, sa.DateTime(timezone=True))
    if kind.zone is None:
        return sa.cast(moment, sa.DateTime)  # in the session's zone
    return sa.func.timezone(kind.zone, moment, type_=sa.DateTime)


def _as_text(column: ColumnElement[Any]) -> ColumnElement[str]:
    return sa.collate(sa.cast(sa.type_coerce(column, sa.String), sa.Text), "C")


def _plain(other: Any) -> Any:
    kind = getattr(other, "type", None)
    if isinstance(kind, _AsText):
        return _as_text(other)
    return wall(other) if isinstance(kind, _WallOf) else other


class PipelineTables:
    """The tables of one installation, which may lack ``task_name`` and the steps table.

    ``found``: what they are; without it they are as the pipeline's contract has them. ``timezone``: the zone the
    pipeline writes its timestamps in, None for the session's.
    """

    def __init__(
        self,
        *,
        has_task_name: bool,
        has_steps: bool,
        found: Mapping[str, Table] | None = None,
        timezone: str | None = None,
    ) -> None:
        metadata = sa.MetaData()
        self.has_task_name = has_task_name
        self.found = found or {}
        self._zoned = {
            name for table in self.found.values() for name, one in table.columns.items() if one.kind == "timestamptz"
        }
        self._timezone = timezone

        def text(name: str, length: int, table: str = TASKS) -> sa.Column[Any]:
            is_cast = table in self.found and pipeline_schema.is_cast(self.found[table], name)
            return sa.Column(name, _AsText() if is_cast else sa.String(length))

        def date(name: str) -> sa.Column[Any]:
            return sa.Column(name, _WallOf(timezone) if name in self._zoned else WALL_TIME)

        columns: list[sa.Column[Any]] = [
            sa.Column("task_id", sa.String(32), primary_key=True),
            text("status", 20),
            date("created_at"),
            date("started_at"),
            date("completed_at"),
            text("by_user", 50),
            text("db_name", 100),
            sa.Column("directory_exists", sa.Boolean),
            date("updated_at"),
        ]
        if has_task_name:
            columns.append(text("task_name", 255))
        self.tasks = sa.Table(TASKS, metadata, *columns)
        self.steps = (
            sa.Table(STEPS, metadata, sa.Column("task_id", sa.String(32)), text("step_status", 50, STEPS))
            if has_steps
            else None
        )
        names = TASKS if self.steps is None else f"{TASKS}, {STEPS}"
        # The first statement of a transaction that reads or changes them: one that waited for the second table, with a
        # lock on the first, could have PostgreSQL abort the pipeline for it.
        self.reading = sa.text(f"LOCK TABLE {names} IN ACCESS SHARE MODE NOWAIT")
        self.changing = sa.text(f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE NOWAIT")

    def stamped(self, stamp: ColumnElement[Any]) -> ColumnElement[Any]:
        """The value of ``updated_at`` for a wall time."""
        if "updated_at" not in self._zoned:
            return stamp
        zoned = sa.DateTime(timezone=True)
        return sa.cast(stamp, zoned) if self._timezone is None else sa.func.timezone(self._timezone, stamp, type_=zoned)

    def written(self, text: ColumnElement[str]) -> ColumnElement[Any]:
        """The value of ``updated_at`` that PostgreSQL has written out as this text."""
        return sa.cast(text, sa.DateTime(timezone="updated_at" in self._zoned))

    @property
    def task_name(self) -> ColumnElement[str | None]:
        """The task's name; NULL where the installation has none."""
        return self.tasks.c.task_name if self.has_task_name else sa.cast(sa.null(), sa.String)

    @property
    def has_directory(self) -> ColumnElement[bool]:
        """Whether the row says that its directory exists; NULL reads as true."""
        return sa.func.coalesce(self.tasks.c.directory_exists, sa.true())

    def running(self, statuses: tuple[str, ...]) -> ColumnElement[bool]:
        """Whether a task is running: by its own status, or because one of its steps is. Never NULL."""
        by_status = sa.func.coalesce(self.tasks.c.status.in_(statuses), sa.false())
        if self.steps is None:
            return by_status
        # written out, so that SQLite sees that the index of running steps fits
        running = sa.literal(RUNNING_STEP, sa.String, literal_execute=True)
        running_steps = sa.select(self.steps.c.task_id).where(
            self.steps.c.step_status == running, self.steps.c.task_id.is_not(None)
        )
        return sa.or_(by_status, self.tasks.c.task_id.in_(running_steps))


def inspect_tables(connection: Connection, timezone: str | None = None) -> PipelineTables:
    """What this installation has. Raises CatalogNotReady if it lacks something, or cannot be used as it is."""
    found = pipeline_schema.look(connection)
    if TASKS not in found:
        raise CatalogNotReady(f"this database has no table {TASKS}; check catalog.url, then run: sweepd init")
    pipeline_schema.check(found, sqlite=connection.dialect.name == "sqlite")
    return PipelineTables(
        has_task_name="task_name" in found[TASKS].columns,
        has_steps=STEPS in found,
        found=found,
        timezone=timezone,
    )
