"""The real process on a database that was put back from a backup: it halts, says why, and goes on when it may."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from psycopg2 import sql

from support.auditor import DELETED, KEPT, audit, audit_task
from support.daemons import Daemon, Installation
from support.postgres import PostgresServer, connect
from support.site import opened
from support.stores import Store

POLICY = """
version: 1
policies:
  - name: old
    mode: enforce
    schedule: {every: 1s}
    match: {status: failed}
    action: {delete: directory}
"""


class Backups:
    """Copies of the installation's database, swapped while the server runs: everybody's connections are lost."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self._name = url.rpartition("/")[2]

    def _run(self, statement: str, *names: str) -> None:
        with connect(self._server.url()) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [self._name],
            )
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def make(self, name: str) -> None:
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", self._name)
        self._run("CREATE DATABASE {} TEMPLATE {}", f"{self._name}_{name}", self._name)
        self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true", self._name)

    def put_back(self, name: str, *, keeping: str) -> None:
        """The copy takes the place of what there is, which becomes the copy ``keeping``."""
        for old, new in ((self._name, f"{self._name}_{keeping}"), (f"{self._name}_{name}", self._name)):
            self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false", old)
            self._run("ALTER DATABASE {} RENAME TO {}", old, new)
            self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true", new)

    def drop(self, name: str) -> None:
        self._run("DROP DATABASE {}", f"{self._name}_{name}")


def test_an_older_database_stops_it_until_the_right_one_is_back_or_a_person_accepts_it(
    postgres_installation: Installation, postgres_server: PostgresServer
) -> None:
    made, store = postgres_installation, Store(postgres_installation.url)
    backups = Backups(postgres_server, made.url)
    made.write_policies(POLICY)
    with opened(store, made.root) as site:
        gone, later, kept = (site.task(f"task_{name}") for name in ("gone", "later", "kept"))
        failed = site.task("task_failed", status="pending")
    backups.make("old")
    with made.daemon() as daemon:
        assert daemon.delete("task_gone").status_code == 200

        # While it runs: it notices within seconds, and with the right one it goes on.
        backups.put_back("old", keeping="right")
        store.query("UPDATE data_pipeline_tasks SET status = 'failed' WHERE task_id = 'task_failed'")
        daemon.wait_for_event("component_changed", component="journal", level="error")
        refused, ready, metrics = daemon.delete("task_kept"), daemon.get("/readyz"), daemon.get("/metrics").text
        sweep = daemon.wait_for_event("sweep_refused", policy="old", error="CATALOG_ROLLED_BACK")
        assert audit_task(store, made.root, kept) == KEPT
        beside = made.run("accept-database", "--reason", "beside it", "--yes", check=False)
        backups.put_back("right", keeping="old")
        daemon.wait_for_event("component_changed", component="journal", level="info")
        assert _until_deleted(daemon, "task_later").json()["data"]["deleted_files_count"] == 3
    assert (refused.status_code, refused.json()["error_code"]) == (503, "CATALOG_ROLLED_BACK")
    assert int(refused.headers["Retry-After"]) > 0
    assert "deletion" in ready.json()["data"]["checks"]["journal"]["problem"]
    assert "sweepd_catalog_rolled_back 1.0" in metrics
    assert sweep["level"] == "error"
    assert beside.returncode == 8
    assert store.ledger("task_later")
    assert audit(store, made.root, [gone, later, kept, failed]) == {
        **dict.fromkeys(["task_gone", "task_later"], DELETED),
        **dict.fromkeys(["task_kept", "task_failed"], KEPT),
    }

    # At start: nothing begins, and when a person accepts it, everything does.
    backups.put_back("old", keeping="right")
    with made.daemon(ready=False) as daemon:
        daemon.wait_for_event("not_ready", component="journal", error="CATALOG_ROLLED_BACK")
        refused = daemon.delete("task_kept")
        command = made.run("delete", "--yes", "task_kept", check=False)
        for _ in range(100):  # a start that is being tried holds the locks for an instant
            accepted = made.run("accept-database", "--reason", "the right one is lost", "--yes", check=False)
            if accepted.returncode != 8:
                break
        daemon.wait_for_event("ready")
        assert daemon.delete("task_kept").status_code == 200
        daemon.wait_for_event("deletion_finished", policy="old", outcome="success")
    assert (refused.status_code, refused.json()["error_code"]) == (503, "CATALOG_ROLLED_BACK")
    assert (command.returncode, accepted.returncode) == (6, 0)
    assert "accepted the database without: deletion" in accepted.stdout
    assert not (made.root / "task_failed").exists()
    assert "the right one is lost" in (made.root / ".sweepd" / "accepted.json").read_text(encoding="utf-8")
    backups.drop("right")


def _until_deleted(daemon: Daemon, task_id: str) -> Any:
    end = time.monotonic() + 30
    while (answer := daemon.delete(task_id)).status_code == 503:
        assert time.monotonic() < end, f"{datetime.now()}: {answer.text}"
        time.sleep(0.1)
    return answer
