"""Databases for the tests of catalog and engine: plain SQL beside the daemon, never through it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2.extras

Row = dict[str, Any]

_connections: dict[str, Any] = {}


@dataclass(frozen=True)
class Store:
    """One database with the pipeline's tables, known by its URL."""

    url: str
    task_name: bool = True

    @property
    def sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one statement with ``?`` for its parameters, commit it, and return its rows if it has any."""
        if self.sqlite:
            with contextlib.closing(sqlite3.connect(self.url.partition(":///")[2], isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA synchronous=OFF")  # no test cuts the power
                cursor = connection.execute(statement, [_plain(value) for value in parameters])
                return [dict(row) for row in cursor.fetchall()]
        try:
            return self._query_postgresql(statement, parameters)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):  # the server was stopped since
            _connections.pop(self.url, None)
            return self._query_postgresql(statement, parameters)

    def _query_postgresql(self, statement: str, parameters: Sequence[object]) -> list[Row]:
        connection = _connections.get(self.url)
        if connection is None:
            connection = _connections[self.url] = psycopg2.connect(self.url)
            connection.autocommit = True
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement.replace("?", "%s"), list(parameters))
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def add_task(self, task_id: str, **columns: object) -> None:
        """Insert a row; what is not named has the pipeline's defaults, and ``parameters`` a password."""
        values: dict[str, object] = {
            "task_id": task_id,
            "parameters": '{"db_connection": "pg://u:secret@h/d"}',
            **columns,
        }
        marks = ", ".join("?" for _ in values)
        self.query(f"INSERT INTO data_pipeline_tasks ({', '.join(values)}) VALUES ({marks})", list(values.values()))

    def add_step(self, task_id: str, step_status: str = "completed", step_name: str = "ddl_generation") -> None:
        statement = "INSERT INTO data_pipeline_task_steps (task_id, step_name, step_status) VALUES (?, ?, ?)"
        self.query(statement, [task_id, step_name, step_status])

    def task(self, task_id: str) -> Row | None:
        rows = self.query("SELECT * FROM data_pipeline_tasks WHERE task_id = ?", [task_id])
        return rows[0] if rows else None

    def steps(self, task_id: str) -> list[Row]:
        return self.query("SELECT * FROM data_pipeline_task_steps WHERE task_id = ? ORDER BY id", [task_id])

    def ledger(self, task_id: str) -> list[Row]:
        """The journal's rows of one task, in the order they were made."""
        return self.query("SELECT * FROM sweepd_deletions WHERE task_id = ? ORDER BY deletion_id", [task_id])

    @contextlib.contextmanager
    def locking(self, task_id: str, *, wait: bool = True) -> Iterator[Any]:
        """The cursor of somebody else's transaction, which holds the task's row (PostgreSQL).

        Without ``wait`` raises LockNotAvailable if somebody has it.
        """
        how = "FOR UPDATE" if wait else "FOR UPDATE NOWAIT"
        connection = psycopg2.connect(self.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT 1 FROM data_pipeline_tasks WHERE task_id = %s {how}", [task_id])
                yield cursor
        finally:
            connection.close()


def wall_time(value: object) -> datetime | None:
    """A timestamp column's value, which SQLite keeps as text."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))


def _plain(value: object) -> object:
    return value.isoformat(" ") if isinstance(value, datetime) else value
