"""``init``, ``doctor`` and the start say the same of a pipeline whose tables differ from the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.exits import Exit
from daemon.doctor.examination import examine
from daemon.doctor.findings import State
from support.daemons import Installation
from support.postgres import create_pipeline_tables
from support.stores import Store

PARTITIONED = (
    "DROP TABLE data_pipeline_task_steps CASCADE",
    "ALTER TABLE data_pipeline_tasks RENAME TO old",
    "CREATE TABLE data_pipeline_tasks (LIKE old INCLUDING DEFAULTS) PARTITION BY RANGE (created_at)",
    "CREATE TABLE tasks_all PARTITION OF data_pipeline_tasks DEFAULT",
    "DROP TABLE old CASCADE",
)
ROW = "INSERT INTO data_pipeline_tasks (task_id, status, parameters) VALUES ('task_1', 'completed', '{}')"


@pytest.fixture
def site(postgres_url: str, tmp_path: Path) -> Installation:
    create_pipeline_tables(postgres_url)
    made = Installation(tmp_path / "site", postgres_url)
    made.root.mkdir(parents=True)
    for statement in PARTITIONED:
        Store(postgres_url).query(statement)
    return made


def test_a_partitioned_table_works_and_doctor_says_what_it_lacks(site: Installation) -> None:
    Store(site.url).query(ROW)
    site.run("init")
    assert site.run("init").stdout.count("\n") <= 1
    found = list(examine(site.config))
    assert [one for one in found if one.state is State.FAILURE and one.check in ("database", "pipeline")] == []
    assert {one.check for one in found if "is partitioned: " in one.found} == {"pipeline"}
    assert site.run("explain", "task_1").returncode == Exit.OK


def test_two_rows_of_one_id_are_refused_by_all_of_them(site: Installation) -> None:
    Store(site.url).query(ROW)
    site.run("init")
    Store(site.url).query(ROW)
    refused = site.run("init", check=False)
    assert refused.returncode == Exit.CATALOG
    assert "several of one id (task_1)" in refused.stderr
    explained = site.run("explain", "task_1", check=False)
    assert explained.returncode == Exit.NOT_DELETED
    assert "several rows have the id task_1" in explained.stderr
    (failed,) = (one for one in examine(site.config) if one.check == "database")
    assert (failed.state, "several of one id" in failed.found) == (State.FAILURE, True)
    with site.daemon(ready=False) as daemon:
        assert "several of one id" in daemon.wait_for_event("not_ready")["reason"]
