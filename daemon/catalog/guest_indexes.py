"""The indexes sweepd needs on the pipeline's tables.

Without that of the running steps every plan and every claim reads all steps; without that of the changed tasks every
page of a list sorted by change reads all tasks. A table whose rows lie in partitions gets none, nor does a column that
is not text: what sweepd asks of it then, no index helps with.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog import pipeline_schema
from daemon.catalog.database import Database
from daemon.catalog.driver_errors import state_of
from daemon.catalog.pipeline import RUNNING_STEP
from daemon.catalog.pipeline_schema import STEPS, TASKS, Table
from daemon.errors import CatalogUnavailable


@dataclass(frozen=True, slots=True)
class _Index:
    name: str
    table: str
    columns: tuple[str, ...]
    where: str
    plain: str
    """The column that has to be of its plain type."""

    @property
    def definition(self) -> str:
        return f"{self.name} ON {self.table} ({', '.join(self.columns)}) WHERE {self.where}"


_INDEXES: Final = (
    _Index("sweepd_running_steps", STEPS, ("task_id",), f"step_status = '{RUNNING_STEP}'", "step_status"),
    # of what sweepd has changed; by creation there is an index already
    _Index("sweepd_updated_tasks", TASKS, ("updated_at", "task_id"), "updated_at IS NOT NULL", "updated_at"),
)
# PostgreSQL waits until every transaction that is under way has ended; they are not kept waiting.
_PATIENCE: Final = "60s"
# What somebody waits for is given up before PostgreSQL looks (after a second) whether it has to abort one of the two.
_LOOK_S: Final = 0.2


def statements(connection: Connection, tables: Mapping[str, Table], coming: Collection[str]) -> list[str]:
    """What makes those that are missing, for the tables' owner (PostgreSQL), once the columns ``coming`` are there."""
    return [f"CREATE INDEX CONCURRENTLY {index.definition}" for index in _missing(connection, tables, coming)]


def add_indexes(database: Database) -> list[str]:
    """Create what is missing; the names of those created. Idempotent, and the pipeline goes on meanwhile.

    Raises CatalogUnavailable if on PostgreSQL a transaction stayed open for too long, or somebody waited for this.
    """
    if database.is_sqlite:
        with database.write() as connection:
            missing = _missing(connection, pipeline_schema.look(connection))
            for index in missing:
                connection.exec_driver_sql(f"CREATE INDEX {index.definition}")
        return [index.name for index in missing]
    with database.translated(), database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        missing = _missing(connection, pipeline_schema.look(connection))
        for index in missing:
            with _GivingWay(database, connection):
                _create(connection, index)
        if missing:
            connection.detach()  # its lock_timeout is not the daemon's
    return [index.name for index in missing]


class _GivingWay:
    """While it is entered, cancels what its connection does as soon as anybody else waits for that."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._pid = connection.execute(sa.select(sa.func.pg_backend_pid())).scalar_one()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        # without a connection the index itself tells what is wrong
        with suppress(exc.SQLAlchemyError), self._database.engine.connect() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            while not self._over.wait(_LOOK_S):
                connection.execute(_GIVE_WAY, {"pid": self._pid})


_GIVE_WAY: Final = sa.text(
    "SELECT pg_cancel_backend(:pid) WHERE EXISTS ("
    "SELECT 1 FROM pg_locks WHERE NOT granted AND pid <> :pid AND :pid = ANY (pg_blocking_pids(pid)))"
)


def _create(connection: Connection, index: _Index) -> None:
    connection.exec_driver_sql(f"SET lock_timeout = '{_PATIENCE}'")
    try:
        # one that was given up half-way is there, but not valid
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
        connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {index.definition}")
    except exc.DBAPIError as error:
        connection.detach()
        why = {
            "55P03": f"a transaction stayed open for {_PATIENCE} while an index was made on {index.table}; find it",
            "57014": f"an index on {index.table} was given up: another transaction waited for it, or "
            "statement_timeout is too short",
            "40P01": f"an index on {index.table} was given up: another transaction waited for it",
        }.get(state_of(error) or "")
        if why is None:
            raise
        raise CatalogUnavailable(f"{why}, then run: sweepd init") from error


def _missing(connection: Connection, tables: Mapping[str, Table], coming: Collection[str] = ()) -> list[_Index]:
    found = []
    for index in _INDEXES:
        table = tables.get(index.table)
        if table is None or table.partitioned or _has(connection, index.name):
            continue
        if not {*table.columns, *coming}.issuperset(index.columns):
            continue
        if index.plain not in table.columns or not pipeline_schema.is_cast(table, index.plain):
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
