"""``sweepd init`` of a database in a process of its own. These functions run in children of ``support.processes``."""

from __future__ import annotations

import time

from daemon.catalog import setup
from daemon.catalog.database import Database
from daemon.catalog.instants import Timeline


def prepare(url: str, root_id: str) -> list[object]:
    """Everything init does to a database; what it says it did."""
    database = Database(url)
    try:
        revision = setup.migrate(database)
        added = setup.adopt_pipeline(database)
        tied = setup.register_root(database, root_id, "/srv/root", replace=False)
    finally:
        database.close()
    return [revision, added, tied]


def register(url: str, root_id: str, start: float) -> bool | str:
    """Tie the database to a root at the instant ``start``; what it says, or the name of its refusal."""
    database = Database(url)
    try:
        with database.read():
            pass
        while time.time() < start:
            pass
        return setup.register_root(database, root_id, "/srv/root", replace=False)
    except Exception as error:
        return type(error).__name__
    finally:
        database.close()


def database_now(url: str, timezone: str | None) -> str:
    """The database's present as the pipeline would write it."""
    database = Database(url)
    try:
        with database.read() as connection:
            return Timeline(sqlite=database.is_sqlite, timezone=timezone).now(connection).local.isoformat()
    finally:
        database.close()
