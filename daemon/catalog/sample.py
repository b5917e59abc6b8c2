"""Writes made-up tasks as a pipeline would, for the demonstration, for benchmarks and for policy tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.database import Database
from daemon.catalog.pipeline_schema import STEPS, TASKS
from daemon.catalog.tables import holds, inventory


def insert_tasks(
    database: Database,
    tasks: Iterable[Mapping[str, Any]],
    steps: Iterable[Mapping[str, Any]],
    *,
    any_status: bool = False,
) -> None:
    """Insert rows into the pipeline's tables; each mapping goes from column to value.

    ``any_status`` (SQLite): also one that these tables do not know, but a pipeline's own might.
    """
    metadata = sa.MetaData()
    with database.write() as connection:
        if any_status:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        task_table = sa.Table(TASKS, metadata, autoload_with=connection)
        _insert(connection, task_table, tasks)
        step_table = sa.Table(STEPS, metadata, autoload_with=connection, resolve_fks=False)
        _insert(connection, step_table, steps)


def insert_found(database: Database, found: Iterable[Mapping[str, Any]]) -> None:
    """Insert what a scan would have found; instants are aware."""
    with database.write() as connection:
        _insert(connection, inventory, found)


def insert_holds(database: Database, placed: Iterable[Mapping[str, Any]]) -> None:
    """Insert holds as they are; instants are aware."""
    with database.write() as connection:
        _insert(connection, holds, placed)


def _insert(connection: Connection, table: sa.Table, values: Iterable[Mapping[str, Any]]) -> None:
    rows = [dict(one) for one in values]
    if rows:
        connection.execute(table.insert(), rows)
