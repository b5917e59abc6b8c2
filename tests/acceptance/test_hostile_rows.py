"""The command line over a catalog in which somebody has written rows that are nobody's task."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from daemon.storage import names
from support.daemons import Installation
from support.stores import Store
from support.trees import fill

POLICIES = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {delete: directory}
"""
HOSTILE = ["..", "a/b", "", ".sweepd", "a" * 10_000, "a\nb", "a\x1b[31m", "a\0b"]


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
    made.init()
    store = Store(f"sqlite:///{made.folder}/var/sweepd.sqlite3")
    for task_id in [*HOSTILE, "task_1"]:
        store.add_task(task_id, status="completed", completed_at=datetime(2025, 1, 1))
    store.query("UPDATE data_pipeline_tasks SET task_id = x'2e2eff', by_user = x'ff' WHERE task_id = '.sweepd'")
    store.add_task("task_2", status="failed", by_user=b"\xff")
    store.add_task("task_3", status="failed", by_user="alice")
    for task_id in ("task_1", "task_2", "task_3"):
        fill(made.root / task_id)
    (made.root / "link_1").symlink_to(tmp_path)
    return made


def test_no_command_fails_for_a_row_that_is_nobodys_task(site: Installation) -> None:
    number = len(HOSTILE)
    assert not any(names.is_task_id(task_id) for task_id in HOSTILE)
    plan = site.run("plan", "--json").stdout
    shown = json.loads(plan)
    assert (shown["unnamed"], shown["plans"][0]["considered"], shown["plans"][0]["selected"]) == (number, 3, 1)
    assert f"rows whose task id is none: {number}" in site.run("plan").stdout
    assert "deleted 1 of 1" in site.run("sweep", "old").stdout
    site.run("inventory", "--scan")
    drift = json.loads(site.run("inventory", "--json").stdout)["drift"]
    assert (drift["unnamed"], drift["missing"]) == (number, 0)
    assert f"{number} rows have a task id that can name no directory" in site.run("doctor", check=False).stdout
    for arguments in (("tasks",), ("tasks", "--json"), ("explain", "task_1"), ("deletions",), ("holds",)):
        site.run(*arguments)
    for task_id in ("..", "a/b", "a\nb"):
        refused = site.run("explain", task_id, check=False)
        assert (refused.returncode, "is not a task id" in refused.stderr) == (4, True)
