"""A task's row as plain data. Timestamps are naive wall time of the pipeline's zone, as the columns hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from daemon.catalog.pipeline import PipelineTables


@dataclass(frozen=True, slots=True)
class TaskRow:
    """What sweepd knows of a task. Two equal rows mean that nothing relevant has changed in between."""

    task_id: str
    task_name: str | None
    status: str | None
    by_user: str | None
    db_name: str | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime | None
    directory_exists: bool


def columns(tables: PipelineTables) -> list[sa.ColumnElement[Any]]:
    """The columns that make a TaskRow, in its order and under its names."""
    c = tables.tasks.c
    return [
        c.task_id,
        tables.task_name.label("task_name"),
        c.status,
        c.by_user,
        c.db_name,
        c.created_at,
        c.started_at,
        c.completed_at,
        c.updated_at,
        tables.has_directory.label("directory_exists"),
    ]


def without_row(task_id: str) -> TaskRow:
    """What there is to know of a directory that has no row."""
    return TaskRow(task_id, None, None, None, None, None, None, None, None, directory_exists=True)


def from_row(row: sa.Row[*tuple[Any, ...]]) -> TaskRow:
    """The TaskRow in a result row that has its columns, perhaps among others."""
    values = row._mapping
    return TaskRow(*(as_text(values[name]) for name in TaskRow.__slots__))


def as_text(value: Any) -> Any:
    """SQLite keeps bytes where somebody wrote them, which nothing here can show or compare."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def to_json(row: TaskRow) -> dict[str, Any]:
    """The row as JSON has it: timestamps in ISO 8601, without a zone as they are."""
    values = ((name, getattr(row, name)) for name in TaskRow.__slots__)  # asdict takes five times as long
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values}


def from_json(values: Mapping[str, Any]) -> TaskRow:
    """The row that ``to_json`` made this of, to the microsecond."""
    stamps = {name: datetime.fromisoformat(text) for name, text in values.items() if name.endswith("_at") and text}
    return TaskRow(**{**values, **stamps})
