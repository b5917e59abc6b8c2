"""The pipeline's two tables as sweepd reads them: only the columns it needs.

``parameters`` (which holds a password), ``result`` and ``error_message`` are not described here, so no statement
of sweepd can ever fetch them.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.dates import WALL_TIME
from daemon.errors import CatalogNotReady

TASKS: Final = "data_pipeline_tasks"
STEPS: Final = "data_pipeline_task_steps"
RUNNING_STEP: Final = "running"


class PipelineTables:
    """The tables of one installation, which may lack ``task_name`` and the steps table."""

    def __init__(self, *, has_task_name: bool, has_steps: bool) -> None:
        metadata = sa.MetaData()
        self.has_task_name = has_task_name
        columns: list[sa.Column[object]] = [
            sa.Column("task_id", sa.String(32), primary_key=True),
            sa.Column("status", sa.String(20)),
            sa.Column("created_at", WALL_TIME),
            sa.Column("started_at", WALL_TIME),
            sa.Column("completed_at", WALL_TIME),
            sa.Column("by_user", sa.String(50)),
            sa.Column("db_name", sa.String(100)),
            sa.Column("directory_exists", sa.Boolean),
            sa.Column("updated_at", WALL_TIME),
        ]
        if has_task_name:
            columns.append(sa.Column("task_name", sa.String(255)))
        self.tasks = sa.Table(TASKS, metadata, *columns)
        self.steps = (
            sa.Table(STEPS, metadata, sa.Column("task_id", sa.String(32)), sa.Column("step_status", sa.String(50)))
            if has_steps
            else None
        )

        names = TASKS if self.steps is None else f"{TASKS}, {STEPS}"
        # The first statement of a transaction that reads or changes them: one that waited for the second table, with a
        # lock on the first, could have PostgreSQL abort the pipeline for it.
        self.reading = sa.text(f"LOCK TABLE {names} IN ACCESS SHARE MODE NOWAIT")
        self.changing = sa.text(f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE NOWAIT")

    @property
    def task_name(self) -> sa.ColumnElement[str | None]:
        """The task's name; NULL where the installation has none."""
        return self.tasks.c.task_name if self.has_task_name else sa.cast(sa.null(), sa.String)

    @property
    def has_directory(self) -> sa.ColumnElement[bool]:
        """Whether the row says that its directory exists; NULL reads as true."""
        return sa.func.coalesce(self.tasks.c.directory_exists, sa.true())

    def running(self, statuses: tuple[str, ...]) -> sa.ColumnElement[bool]:
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


def inspect_tables(connection: Connection) -> PipelineTables:
    """What this installation has. Raises CatalogNotReady if the tasks table or a column sweepd writes is missing."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(TASKS):
        raise CatalogNotReady(f"this database has no table {TASKS}; check catalog.url, then run: sweepd init")
    columns = {column["name"] for column in inspector.get_columns(TASKS)}
    missing = sorted({"directory_exists", "updated_at"} - columns)
    if missing:
        raise CatalogNotReady(f"{TASKS} lacks {', '.join(missing)}; run: sweepd init")
    return PipelineTables(has_task_name="task_name" in columns, has_steps=inspector.has_table(STEPS))
