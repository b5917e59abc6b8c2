"""Ready databases without waiting for their migrations: copies of one that was prepared, emptied and used again."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from daemon.catalog import guest_indexes, setup
from daemon.catalog.database import Database
from support.postgres import PostgresServer, connect, create_pipeline_tables
from support.stores import Store


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


_EMPTY = f"""
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
BEGIN;
DELETE FROM data_pipeline_task_steps; DELETE FROM data_pipeline_tasks; DELETE FROM sweepd_deletions;
DELETE FROM sweepd_snapshots; DELETE FROM sweepd_policies; DELETE FROM sweepd_sweeps; DELETE FROM sweepd_roots;
DELETE FROM sweepd_inventory; DELETE FROM sweepd_scans; DELETE FROM sweepd_holds;
DELETE FROM sweepd_plans; DELETE FROM sweepd_plan_tasks; DELETE FROM sweepd_refusals;
DELETE FROM sweepd_plans; DELETE FROM sweepd_plan_tasks;
DELETE FROM sweepd_notices; DELETE FROM sweepd_alarms; DELETE FROM sweepd_announcements; DELETE FROM sweepd_outbox;
DELETE FROM sweepd_task_failures;
DELETE FROM sweepd_jobs; DELETE FROM sweepd_job_tasks; DELETE FROM sweepd_idempotency;
UPDATE sweepd_alembic_version SET version_num = '{setup.SCHEMA}';
COMMIT;
"""


def prepare(url: str) -> None:
    """What ``sweepd init`` does to a database."""
    if url.startswith("sqlite"):
        Path(url.partition(":///")[2]).touch()
    database = Database(url)
    setup.adopt_pipeline(database)
    guest_indexes.add_indexes(database)
    setup.migrate(database)
    database.close()
