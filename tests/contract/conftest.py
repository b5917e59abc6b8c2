"""The same tests on SQLite and on a real PostgreSQL, and on one of an older installation whose tasks have no name."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.catalog import setup
from daemon.catalog.database import Database
from support.postgres import PostgresServer, connect, create_pipeline_tables
from support.processes import ForkServer
from support.site import Site, opened
from support.stores import Store

KINDS = ("sqlite", "postgresql")


class Prepared:
    """Makes ready databases quickly, as copies of one that was prepared once for the whole run."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._originals: dict[str, str] = {}
        self._idle: list[Store] = []

    def sqlite(self, folder: Path) -> Store:
        original = self._originals.get("sqlite")
        if original is None:
            original = self._originals["sqlite"] = str(self._folder / "prepared.sqlite")
            prepare(f"sqlite:///{original}")
        copy = folder / "catalog.sqlite"
        shutil.copyfile(original, copy)
        return Store(f"sqlite:///{copy}")

    def postgresql(self, *, task_name: bool = True, timezone: str | None = None) -> Store:
        self.server.start()  # an earlier test may have stopped it
        if task_name and timezone is None and self._idle:
            return self._idle.pop()
        original = self._originals.get(f"postgresql-{task_name}")
        if original is None:
            original = f"prepared_{secrets.token_hex(6)}"
            url = self.server.create_database(original)
            create_pipeline_tables(url, task_name=task_name)
            prepare(url)
            self._originals[f"postgresql-{task_name}"] = original
        name = f"copy_{secrets.token_hex(6)}"
        with connect(self.server.url()) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {original} STRATEGY FILE_COPY")
            if timezone is not None:
                cursor.execute(f"ALTER DATABASE {name} SET timezone TO '{timezone}'")
        return Store(self.server.url(name), task_name=task_name)

    def give_back(self, store: Store, *, again: bool = False) -> None:
        """Drop a database; with ``again``, empty it for the next test instead, which is quicker."""
        if store.sqlite:
            return
        self.server.start()
        if not again:
            self.server.drop_database(store.url)
            return
        store.query(_EMPTY)
        self._idle.append(store)


_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
BEGIN;
DELETE FROM data_pipeline_task_steps; DELETE FROM data_pipeline_tasks; DELETE FROM sweepd_deletions;
DELETE FROM sweepd_policies; DELETE FROM sweepd_sweeps; DELETE FROM sweepd_roots;
UPDATE sweepd_alembic_version SET version_num = '0001';
COMMIT;
"""


def prepare(url: str) -> None:
    """What ``sweepd init`` does to a database."""
    if url.startswith("sqlite"):
        Path(url.partition(":///")[2]).touch()
    database = Database(url)
    setup.adopt_pipeline(database)
    setup.migrate(database)
    database.close()


@pytest.fixture(scope="session")
def prepared(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(postgres_server, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def processes() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, prepared: Prepared, tmp_path: Path) -> Iterator[Store]:
    """A ready database of each kind, without any task."""
    made = prepared.sqlite(tmp_path) if request.param == "sqlite" else prepared.postgresql()
    yield made
    prepared.give_back(made, again=True)


@pytest.fixture
def postgres_store(prepared: Prepared) -> Iterator[Store]:
    """The same on PostgreSQL alone."""
    made = prepared.postgresql()
    yield made
    prepared.give_back(made, again=True)


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[Site]:
    """A ready installation."""
    with opened(store, tmp_path / "root") as made:
        made.init()
        yield made


@pytest.fixture
def postgres_site(postgres_store: Store, tmp_path: Path) -> Iterator[Site]:
    """A ready installation on PostgreSQL alone."""
    with opened(postgres_store, tmp_path / "root") as made:
        made.init()
        yield made
