"""The index sweepd needs on the pipeline's tables: without it every plan and every claim reads all steps."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog.database import Database
from daemon.catalog.pipeline import RUNNING_STEP, STEPS
from daemon.errors import CatalogUnavailable

RUNNING_STEPS: Final = "sweepd_running_steps"
_WHAT: Final = f"{RUNNING_STEPS} ON {STEPS} (task_id) WHERE step_status = '{RUNNING_STEP}'"
# PostgreSQL waits until every transaction that is under way has ended; they are not kept waiting.
_PATIENCE: Final = "60s"


def add_indexes(database: Database) -> list[str]:
    """Create what is missing; the names of those created. Idempotent, and the pipeline goes on meanwhile.

    Raises CatalogUnavailable if on PostgreSQL a transaction stayed open for too long.
    """
    if database.is_sqlite:
        with database.write() as connection:
            if _has_index(connection) or not sa.inspect(connection).has_table(STEPS):
                return []
            connection.exec_driver_sql(f"CREATE INDEX {_WHAT}")
        return [RUNNING_STEPS]
    with database.translated(), database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        if _has_index(connection) or not sa.inspect(connection).has_table(STEPS):
            return []
        connection.exec_driver_sql(f"SET lock_timeout = '{_PATIENCE}'")
        try:
            # one that was given up half-way is there, but not valid
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {RUNNING_STEPS}")
            connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {_WHAT}")
        except exc.DBAPIError as error:
            if getattr(error.orig, "pgcode", None) != "55P03":
                raise
            raise CatalogUnavailable(
                f"a transaction stayed open for {_PATIENCE} while an index was made on {STEPS};"
                " find it, then run: sweepd init"
            ) from error
        finally:
            connection.detach()  # its lock_timeout is not the daemon's
    return [RUNNING_STEPS]


def _has_index(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        found = connection.execute(
            sa.text("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = :name"), {"name": RUNNING_STEPS}
        )
    else:
        found = connection.execute(
            sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid"),
            {"name": RUNNING_STEPS},
        )
    return found.first() is not None
