"""A new version on the tables of an old one: it waits for `sweepd init`, and then knows everything that was there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from alembic import command

from daemon.catalog import setup, sweeps
from daemon.catalog.database import Database
from daemon.storage.root import mark
from support.daemons import Installation
from support.postgres import create_pipeline_tables
from support.stores import Store
from support.trees import fill

STAMP = "2024-07-02 21:45:30"


@pytest.fixture
def old(postgres_url: str, tmp_path: Path) -> Installation:
    """An installation as the first version has left it: a deletion, a policy's memory, and its root."""
    create_pipeline_tables(postgres_url)
    made = Installation(tmp_path / "site", postgres_url)
    database = Database(postgres_url)
    config = setup._alembic()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    setup.adopt_pipeline(database)
    database.close()
    store = Store(postgres_url)
    store.query("INSERT INTO sweepd_roots VALUES (?, ?, ?)", [mark(made.root), str(made.root), STAMP])
    store.query(
        """INSERT INTO sweepd_deletions VALUES ('01979f0a4d2a6c1b6a7f3c2d1e00', 'task_gone', 'purged', 'directory',
        'api', 'api:127.0.0.1', NULL, NULL, false, true, false, ?, ?, 15, 3, 2500000, 2523136, NULL)""",
        [STAMP, STAMP],
    )
    store.query(
        """INSERT INTO sweepd_sweeps SELECT lpad(number::text, 28, '0'), 'nightly', 'sweep', 'enforce', 'success', ?, ?,
        200, 3, 3, 0, 0, 1000, NULL FROM generate_series(1, ?) AS number""",
        [STAMP, STAMP, sweeps.KEPT + 3],
    )
    store.add_task("task_there", status="completed", created_at=STAMP, completed_at=STAMP)
    fill(made.root / "task_there")
    return made


def test_the_daemon_waits_for_init_and_goes_on_with_what_was_there(old: Installation) -> None:
    with old.daemon(ready=False) as daemon:
        told = daemon.wait_for_event("not_ready")
        assert "tables have schema 0001" in told["reason"]
        assert "run: sweepd init" in told["reason"]
        assert daemon.delete("task_there").status_code == 503
        assert (old.root / "task_there").is_dir()
        assert f"sweepd's tables are at schema {setup.SCHEMA}" in old.run("init").stdout
        daemon.wait_for_event("ready")
        (deletion,) = daemon.get("/api/v0/deletions").json()["data"]["deletions"]
        assert (deletion["task_id"], deletion["files"], deletion["freed_bytes"]) == ("task_gone", 15, 2523136)
        assert daemon.delete("task_there", retain="7d").status_code == 200
        assert len(daemon.get("/api/v0/deletions").json()["data"]["deletions"]) == 2
        store, end = Store(old.url), time.monotonic() + 30
        while store.query("SELECT count(*) AS n FROM sweepd_sweeps")[0]["n"] != sweeps.KEPT:  # those were long ago
            assert time.monotonic() < end
            time.sleep(0.05)
