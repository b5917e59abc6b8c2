"""The indexes sweepd needs on the pipeline's tables.

Without that of the running steps every plan and every claim reads all steps; without that of the changed tasks every
page of a list sorted by change reads all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog.database import Database
from daemon.catalog.pipeline import RUNNING_STEP, STEPS, TASKS
from daemon.errors import CatalogUnavailable


@dataclass(frozen=True, slots=True)
class _Index:
    name: str
    table: str
    columns: tuple[str, ...]
    where: str

    @property
    def definition(self) -> str:
        return f"{self.name} ON {self.table} ({', '.join(self.columns)}) WHERE {self.where}"


_INDEXES: Final = (
    _Index("sweepd_running_steps", STEPS, ("task_id",), f"step_status = '{RUNNING_STEP}'"),
    # of what sweepd has changed; by creation there is an index already
    _Index("sweepd_updated_tasks", TASKS, ("updated_at", "task_id"), "updated_at IS NOT NULL"),
)
# PostgreSQL waits until every transaction that is under way has ended; they are not kept waiting.
_PATIENCE: Final = "60s"


def add_indexes(database: Database) -> list[str]:
    """Create what is missing; the names of those created. Idempotent, and the pipeline goes on meanwhile.

    Raises CatalogUnavailable if on PostgreSQL a transaction stayed open for too long.
    """
    if database.is_sqlite:
        with database.write() as connection:
            missing = _missing(connection)
            for index in missing:
                connection.exec_driver_sql(f"CREATE INDEX {index.definition}")
        return [index.name for index in missing]
    with database.translated(), database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        missing = _missing(connection)
        for index in missing:
            _create(connection, index)
        if missing:
            connection.detach()  # its lock_timeout is not the daemon's
    return [index.name for index in missing]


def _create(connection: Connection, index: _Index) -> None:
    connection.exec_driver_sql(f"SET lock_timeout = '{_PATIENCE}'")
    try:
        # one that was given up half-way is there, but not valid
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
        connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {index.definition}")
    except exc.DBAPIError as error:
        connection.detach()
        if getattr(error.orig, "pgcode", None) != "55P03":
            raise
        raise CatalogUnavailable(
            f"a transaction stayed open for {_PATIENCE} while an index was made on {index.table};"
            " find it, then run: sweepd init"
        ) from error


def _missing(connection: Connection) -> list[_Index]:
    inspector = sa.inspect(connection)
    found = []
    for index in _INDEXES:
        if inspector.has_table(index.table) and not _has(connection, index.name):
            present = {column["name"] for column in inspector.get_columns(index.table)}
            if present.issuperset(index.columns):
                found.append(index)
    return found


def _has(connection: Connection, name: str) -> bool:
    if connection.dialect.name == "sqlite":
        found = connection.execute(
            sa.text("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = :name"), {"name": name}
        )
    else:
        found = connection.execute(
            sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid"), {"name": name}
        )
    return found.first() is not None
