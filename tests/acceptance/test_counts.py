"""The same thing is counted alike by every command, and a list that is cut off says how to see the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.daemons import Installation
from support.stores import Store
from support.trees import fill

OLD = datetime(2025, 1, 1)
POLICIES = """
version: 1
policies:
  - name: all
    match: {older_than: 30d}
    action: {delete: directory}
  - name: strays
    source: orphans
    match: {older_than: {age: 1s, by: first_seen}}
    action: {delete: directory}
"""


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3", POLICIES)
    made.init()
    return made


def add(site: Installation, task_id: str, status: str = "completed", *, directory: bool = True, **columns: Any) -> None:
    dates = {"created_at": OLD, "updated_at": OLD, "completed_at": OLD}
    Store(site.url).add_task(task_id, status=status, **dates, **columns)
    if directory:
        fill(site.root / task_id)


def shown(site: Installation, *arguments: str) -> Any:
    return json.loads(site.run(*arguments, "--json", check=False).stdout)


def test_every_command_counts_the_same_things_alike(site: Installation) -> None:
    for task_id in ("held", "trashed", "deleted", "done_1", "done_2"):
        add(site, task_id)
    for task_id in ("missing_1", "missing_2", "linked", ".."):
        add(site, task_id, directory=False)
    add(site, "gone", directory=False, directory_exists=False)
    add(site, "running", "in_progress")
    for name in ("linked", "link_without_row"):
        (site.root / name).symlink_to(site.folder)
    for number in range(4):
        fill(site.root / f"orphan_{number}")
    site.run("hold", "--reason", "mine", "held")
    site.run("delete", "--yes", "--retain", "7d", "trashed")
    site.run("delete", "--yes", "deleted")
    site.run("inventory", "--scan")
    inventory = shown(site, "inventory", "--scan")  # a policy looks at orphans that were seen twice
    plan = shown(site, "plan")
    plans = {one["policy"]: one for one in plan["plans"]}

    orphans = [f"orphan_{number}" for number in range(4)]
    assert plan["orphans"] == ["link_without_row", *orphans]
    assert sorted(one["task_id"] for one in inventory["orphans"]) == plan["orphans"]
    assert len(plan["orphans"]) == inventory["drift"]["orphans"] == plans["strays"]["considered"]
    assert plans["all"]["without_directory"] == inventory["drift"]["missing"] == 2
    assert plan["unnamed"] == inventory["drift"]["unnamed"] == 1
    [of_doctor] = [one["found"] for one in shown(site, "doctor")["findings"] if one["check"] == "task ids"]
    assert of_doctor.startswith("1 rows ")
    tasks = shown(site, "tasks")
    present = [one["task_id"] for one in tasks["tasks"] if one["directory_exists"]]
    assert len(present) == plans["all"]["considered"] + plan["unnamed"]
    assert inventory["total"]["directories"] == len(plan["orphans"]) + len(present) - 2 - 1
    trash, deletions = shown(site, "trash"), shown(site, "deletions")["deletions"]
    waiting = [one["task_id"] for one in deletions if one["state"] == "committed"]
    assert (waiting, trash["total"], [one["task_id"] for one in trash["deletions"]]) == (["trashed"], 1, ["trashed"])
    text = site.run("plan").stdout
    assert "directories without a row: 5 (" in text
    assert "looked at by strays; sweepd inventory --scan --all lists them" in text


def test_a_list_that_is_cut_off_names_the_option_that_shows_the_rest(site: Installation) -> None:
    for number in range(13):
        fill(site.root / f"orphan_{number:02}")
        add(site, f"missing_{number:02}", directory=False)
    assert len(shown(site, "inventory", "--scan")["orphans"]) == 13
    said = site.run("inventory").stdout
    assert said.count("… and 3 more (--all lists them)") == 2
    assert said.count("… and 3 more (--largest N lists more)") == 1
    said = site.run("inventory", "--all", "--largest", "13").stdout
    assert ("more" in said, "orphan_12" in said, "missing_12" in said) == (False, True, True)
    assert "--limit N" in site.run("tasks", "--limit", "3").stdout
    site.run("delete", "--yes", "--force", *(f"orphan_{number:02}" for number in range(4)))
    said = site.run("deletions", "--limit", "3").stdout
    assert "the newest 3; --limit N shows more, --json all" in said
    assert len(shown(site, "deletions")["deletions"]) == 4


def test_the_inventory_says_how_full_the_file_system_is(site: Installation) -> None:
    first = site.run("inventory").stdout.splitlines()[0]
    assert re.match(
        rf"the file system of {re.escape(str(site.root))} is \d+% full, .* free of .* inodes are used", first
    )
    space = shown(site, "inventory")["filesystem"]
    assert 0 < space["used_bytes"] <= space["total_bytes"]
    assert 0 < space["used_inodes"] <= space["inodes"]


def test_the_question_before_a_deletion_names_every_task(site: Installation) -> None:
    names = [f"task_{number}" for number in range(5)]
    person, terminal = os.openpty()
    try:
        os.write(person, b"n\n")
        command = [sys.executable, "-m", "daemon", "--config", str(site.config), "delete", *names]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(person)
        os.close(terminal)
    assert done.stderr.split("Delete the directories of ")[0].split() == names
    assert "Delete the directories of these 5?" in done.stderr
