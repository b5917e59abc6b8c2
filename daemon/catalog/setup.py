"""Makes a database ready: sweepd's own tables by migration, two columns in the pipeline's table, the root's id.

Everything here is idempotent, and safe while the pipeline is running. Only ``migrate`` needs Alembic: a fifth of the
start-up time of every other command.
"""

from __future__ import annotations

import time
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.database import Database
from daemon.catalog.pipeline import TASKS
from daemon.catalog.tables import roots
from daemon.errors import CatalogNotReady, CatalogUnavailable, StartupRefused

if TYPE_CHECKING:
    from alembic.config import Config

SCHEMA: Final = "0011"
"""The newest migration, which this version needs."""
VERSION_TABLE: Final = "sweepd_alembic_version"
_version: Final = sa.table(VERSION_TABLE, sa.column("version_num", sa.String))
_ADVISORY_LOCK: Final = 0x5357454550  # "SWEEP": keeps two concurrent `sweepd init` apart
_GUEST_COLUMNS: Final = {"directory_exists": "BOOLEAN DEFAULT TRUE", "updated_at": "TIMESTAMP NULL"}
_ALTER_LOCK_TIMEOUT: Final = "1s"  # ALTER queues every reader behind it while it waits: wait briefly, and again
_ALTER_TRIES: Final = 20
_ALTER_PAUSE_S: Final = 1.5


def migrate(database: Database) -> str | None:
    """Bring sweepd's own tables to this version; the new revision, or None if they were there already."""
    from alembic import command

    config = _alembic()
    with database.write() as connection:
        _one_at_a_time(database, connection)
        before = _revision(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        after = _revision(connection)
    return after if after != before else None


def check_schema(connection: Connection) -> None:
    """Raises CatalogNotReady unless sweepd's tables have exactly this version."""
    found = _revision(connection)
    if found != SCHEMA:
        raise CatalogNotReady(
            f"sweepd's tables have schema {found or 'none'}, this version needs {SCHEMA}; run: sweepd init"
        )


def adopt_pipeline(database: Database) -> list[str]:
    """Add the columns sweepd writes to the pipeline's table where absent; the names of those added.

    On PostgreSQL each try holds the table's lock for an instant and waits at most a second for it.
    Raises CatalogNotReady if there is no such table (SQLite: it is created), CatalogUnavailable if the
    table stayed locked.
    """
    with database.read() as connection:
        exists = sa.inspect(connection).has_table(TASKS)
    if not exists:
        if not database.is_sqlite:
            raise CatalogNotReady(
                f"{database.name} has no table {TASKS}; check catalog.url: it has to be the pipeline's database"
            )
        _create_pipeline(database)
        return []
    for attempt in range(1, _ALTER_TRIES + 1):
        try:
            return _add_guest_columns(database)
        except exc.DBAPIError as error:
            if getattr(error.orig, "pgcode", None) != "55P03":
                raise
        if attempt < _ALTER_TRIES:
            time.sleep(_ALTER_PAUSE_S)
    raise CatalogUnavailable(
        f"{TASKS} stayed locked for {_ALTER_TRIES} tries; find the long transaction, then run: sweepd init"
    )


def register_root(database: Database, root_id: str, path: str, *, replace: bool, unmarked: str | None = None) -> bool:
    """Tie this catalog to the storage root; False if it was already. Raises StartupRefused if it knows another.

    ``unmarked``: which folder it is, if there is no room for a marker in it yet.
    """
    with database.write() as connection:
        _one_at_a_time(database, connection)
        known = connection.execute(sa.select(roots.c.root_id)).scalar_one_or_none()
        if known == root_id:
            connection.execute(roots.update().values(unmarked=unmarked))
            return False
        if known is not None:
            if not replace:
                raise StartupRefused(
                    f"this catalog belongs to storage root {known}, but {path} is {root_id}; "
                    "if the old one is gone for good, run: sweepd init --replace-root"
                )
            connection.execute(roots.delete())
        connection.execute(
            roots.insert().values(root_id=root_id, path=path, registered_at=clock.now(), unmarked=unmarked)
        )
    return True


def registered_root(connection: Connection) -> str | None:
    """The id of the storage root this catalog belongs to."""
    return connection.execute(sa.select(roots.c.root_id)).scalar_one_or_none()


def unmarked_root(connection: Connection) -> str | None:
    """Which folder the storage root is, as long as there was no room for a marker in it."""
    return connection.execute(sa.select(roots.c.unmarked)).scalar_one_or_none()


def root_is_marked(connection: Connection) -> None:
    """From now on its marker says which one the storage root is."""
    connection.execute(roots.update().values(unmarked=None))


def _one_at_a_time(database: Database, connection: Connection) -> None:
    """Wait for a concurrent init to end its transaction; SQLite's writers do so by themselves."""
    if not database.is_sqlite:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _add_guest_columns(database: Database) -> list[str]:
    with database.engine.connect() as connection, connection.begin():
        if not database.is_sqlite:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_ALTER_LOCK_TIMEOUT}'")
        present = {column["name"] for column in sa.inspect(connection).get_columns(TASKS)}
        missing = [name for name in _GUEST_COLUMNS if name not in present]
        if database.is_sqlite:
            for name in missing:
                connection.exec_driver_sql(f"ALTER TABLE {TASKS} ADD COLUMN {name} {_GUEST_COLUMNS[name]}")
        elif missing:
            adds = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {_GUEST_COLUMNS[name]}" for name in missing)
            connection.exec_driver_sql(f"ALTER TABLE {TASKS} {adds}")
    return missing


def _create_pipeline(database: Database) -> None:
    """The pipeline's tables on a fresh SQLite file, as the pipeline's contract describes them."""
    statements = files("daemon.catalog").joinpath("pipeline_sqlite.sql").read_text(encoding="utf-8")
    with database.write() as connection:
        for statement in statements.split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none()


def _alembic() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "daemon.catalog:migrations")
    config.set_main_option("path_separator", "os")
    return config
