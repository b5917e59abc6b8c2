"""Makes a database ready: sweepd's own tables by migration, two columns in the pipeline's table, the root's id.

Everything here is idempotent, and safe while the pipeline is running. Only ``migrate`` needs Alembic: a fifth of the
start-up time of every other command.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog import guest_indexes, pipeline_schema, rights
from daemon.catalog.database import Database, Locked
from daemon.catalog.pipeline_schema import TASKS, Table
from daemon.catalog.tables import roots
from daemon.errors import CatalogNotReady, CatalogUnavailable, StartupRefused

if TYPE_CHECKING:
    from alembic.config import Config

SCHEMA: Final = "0012"
"""The newest migration, which this version needs."""
VERSION_TABLE: Final = "sweepd_alembic_version"
_version: Final = sa.table(VERSION_TABLE, sa.column("version_num", sa.String))
_ADVISORY_LOCK: Final = 0x5357454550  # "SWEEP": keeps two concurrent `sweepd init` apart
_GUEST_COLUMNS: Final = {"directory_exists": "BOOLEAN DEFAULT TRUE", "updated_at": "TIMESTAMP NULL"}
# ALTER queues every reader behind it while it waits: wait briefly, and again. Far less than the second after which
# PostgreSQL looks for somebody to abort.
_ALTER_LOCK_TIMEOUT: Final = "200ms"
_ALTER_TRIES: Final = 50
_ALTER_PAUSE_S: Final = 0.6


def migrate(database: Database) -> str | None:
    """Bring sweepd's own tables to this version; the new revision, or None if they were there already."""
    from alembic import command

    config = _alembic()
    with database.write() as connection:
        _one_at_a_time(database, connection)
        if not database.is_sqlite and _revision(connection) is None:
            _check_room(connection)
        before = _revision(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        after = _revision(connection)
    return after if after != before else None


def _check_room(connection: Connection) -> None:
    """Raises CatalogNotReady unless this user may make tables, in a schema that there is."""
    schema, user = sa.func.current_schema(), sa.func.current_user()
    name, by, allowed = connection.execute(
        sa.select(schema, user, sa.func.has_schema_privilege(schema, "CREATE"))
    ).one()
    if name is None:
        raise CatalogNotReady(
            f"no schema of the search_path is there for {by} to make sweepd's tables in; as the database's owner: "
            f"GRANT USAGE, CREATE ON SCHEMA public TO {by}, or ALTER ROLE {by} SET search_path TO one that has these"
        )
    if not allowed:
        raise CatalogNotReady(
            f"{by} may not make sweepd's tables in the schema {name}; as its owner: GRANT CREATE ON SCHEMA {name} "
            f"TO {by}; then run: sweepd init",
            details={"lacks": "rights"},
        )


def check_schema(connection: Connection) -> None:
    """Raises CatalogNotReady unless sweepd's tables have exactly this version."""
    found = _revision(connection)
    if found != SCHEMA:
        raise CatalogNotReady(
            f"sweepd's tables have schema {found or 'none'}, this version needs {SCHEMA}; run: sweepd init"
        )


def look_at_pipeline(database: Database) -> None:
    """See whether the pipeline's tables can be used, before anything is made.

    Raises CatalogNotReady if they cannot, or are not there, and CatalogUnavailable.
    """
    with database.read() as connection:
        tables = pipeline_schema.look(connection)
        if TASKS in tables:
            pipeline_schema.check(tables, sqlite=database.is_sqlite, guests=False)
            pipeline_schema.check_ids(connection, tables)
        elif not database.is_sqlite:
            raise CatalogNotReady(_no_tasks(connection, database.name))


def adopt_pipeline(database: Database) -> list[str]:
    """Add the columns sweepd writes to the pipeline's table where absent; the names of those added.

    On PostgreSQL each try holds the table's lock for an instant and waits a moment for it.
    Raises CatalogNotReady if there is no such table (SQLite: it is created) or it is not this user's to change,
    CatalogUnavailable if the table stayed locked.
    """
    with database.read() as connection:
        tables = pipeline_schema.look(connection)
        if TASKS not in tables and not database.is_sqlite:
            raise CatalogNotReady(_no_tasks(connection, database.name))
    if TASKS not in tables:
        _create_pipeline(database)
        return []
    if not database.is_sqlite:
        with database.read() as connection:
            _check_owned(connection, tables)
    for attempt in range(1, _ALTER_TRIES + 1):
        try:
            with database.translated():
                return _add_guest_columns(database)
        except Locked:
            pass
        if attempt < _ALTER_TRIES:
            time.sleep(_ALTER_PAUSE_S)
    raise CatalogUnavailable(
        f"{TASKS} stayed locked for {_ALTER_TRIES} tries; find the long transaction, then run: sweepd init"
    )


def _no_tasks(connection: Connection, name: str) -> str:
    """Why the table cannot be seen."""
    where = "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = :name"
    schemas = connection.execute(sa.text(where), {"name": TASKS}).scalars().all()
    if not schemas:
        return f"{name} has no table {TASKS}; check catalog.url: it has to be the pipeline's database"
    user = connection.execute(sa.select(sa.func.current_user())).scalar_one()
    return (
        f"{name} has {TASKS} in the schema {schemas[0]}, where {user} does not look or may not; as the schema's owner: "
        f"GRANT USAGE, CREATE ON SCHEMA {schemas[0]} TO {user}; ALTER ROLE {user} SET search_path TO {schemas[0]}"
    )


def _check_owned(connection: Connection, tables: Mapping[str, Table]) -> None:
    """Raises CatalogNotReady with what the tables' owner has to type, if something is missing and this is not they."""
    missing = [name for name in _GUEST_COLUMNS if name not in tables[TASKS].columns]
    wanted = [f"ALTER TABLE {TASKS} {_adding(missing)}"] if missing else []
    wanted += guest_indexes.statements(connection, tables, missing)
    owned = sa.text(
        "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class WHERE oid = ANY (ARRAY(SELECT "
        "to_regclass(name) FROM unnest(:names) name))"
    )
    if connection.execute(owned, {"names": sorted(tables)}).scalar_one():
        return
    user = connection.execute(sa.select(sa.func.current_user())).scalar_one()
    wanted += [
        f"GRANT {', '.join(verbs)} ON {name} TO {user}"
        for name, verbs in rights.lacking_on(connection, dict.fromkeys(tables, rights.ON_THE_PIPELINES)).items()
    ]
    if wanted:
        raise CatalogNotReady(
            f"the pipeline's tables are not {user}'s to change; as their owner: {'; '.join(wanted)}; then run: sweepd "
            "init",
            details={"lacks": "rights"},
        )


def _adding(names: Sequence[str]) -> str:
    return ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {_GUEST_COLUMNS[name]}" for name in names)


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
        present = pipeline_schema.look(connection)[TASKS].columns
        missing = [name for name in _GUEST_COLUMNS if name not in present]
        if database.is_sqlite:
            for name in missing:
                connection.exec_driver_sql(f"ALTER TABLE {TASKS} ADD COLUMN {name} {_GUEST_COLUMNS[name]}")
        elif missing:
            connection.exec_driver_sql(f"ALTER TABLE {TASKS} {_adding(missing)}")
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
