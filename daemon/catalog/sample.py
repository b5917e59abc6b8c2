"""Writes made-up tasks as a pipeline would, for the demonstration and for benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from daemon.catalog.database import Database
from daemon.catalog.pipeline import STEPS, TASKS


def insert_tasks(database: Database, tasks: Iterable[Mapping[str, Any]], steps: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows into the pipeline's tables; each mapping goes from column to value."""
    metadata = sa.MetaData()
    with database.write() as connection:
        task_table = sa.Table(TASKS, metadata, autoload_with=connection)
        connection.execute(task_table.insert(), [dict(task) for task in tasks])
        step_table = sa.Table(STEPS, metadata, autoload_with=connection, resolve_fks=False)
        connection.execute(step_table.insert(), [dict(step) for step in steps])
