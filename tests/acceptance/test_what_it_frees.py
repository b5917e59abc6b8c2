"""Plans and sweeps say which of their tasks free space, and when."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from support.daemons import Installation
from support.stores import Store
from support.trees import fill

POLICIES = """
version: 1
policies:
  - name: waits
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {trash: {retain: 7d}}
  - name: rows
    mode: enforce
    match: {all: [{status: failed}, {older_than: 30d}]}
    action: {delete: directory_and_records}
"""


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
    made.init()
    store = Store(f"sqlite:///{made.folder}/var/sweepd.sqlite3")
    for task_id, status, there in (("kept", "completed", True), ("whole", "failed", True), ("bare", "failed", False)):
        store.add_task(task_id, status=status, completed_at=datetime(2025, 1, 1))
        if there:
            fill(made.root / task_id)
    return made


def test_what_goes_to_the_trash_frees_nothing_until_it_is_purged(site: Installation) -> None:
    said = "the sweep itself frees nothing: what goes waits 7d in the trash, and its space comes when that is purged, "
    assert said in site.run("plan", "waits").stdout
    [plan] = json.loads(site.run("plan", "waits", "--json").stdout)["plans"]
    waits = datetime.fromisoformat(plan["space_at"]) - datetime.fromisoformat(plan["now"])
    assert (round(waits.total_seconds() / 86400), plan["space_at"][-1]) == (7, "Z")
    assert (
        "1 of them wait in the trash: their space comes when they are purged, from "
        in site.run("sweep", "waits").stdout
    )


def test_what_has_no_directory_is_told_apart(site: Installation) -> None:
    assert "1 of those that go have no directory: they free no disk space" in site.run("plan", "rows").stdout
    [plan] = json.loads(site.run("plan", "rows", "--json").stdout)["plans"]
    assert (plan["without_directory"], plan["space_at"]) == (1, None)
    assert "deleted 2 of 2 selected tasks, of which 1 had a directory: 3 files" in site.run("sweep", "rows").stdout


def test_a_plan_says_first_how_full_the_file_system_is(site: Installation) -> None:
    first = site.run("plan").stdout.splitlines()[0]
    assert first.startswith(f"the file system of {site.root} is ")
    assert "free of" in first
    space = json.loads(site.run("plan", "--json").stdout)["filesystem"]
    assert 0 < space["used_bytes"] <= space["total_bytes"]
