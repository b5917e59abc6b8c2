"""Holds as people use them: on the command line, beside a running daemon."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
import requests

from support.daemons import Installation
from support.stores import Store
from support.trees import fill

POLICY = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {delete: directory}
"""


def add(installation: Installation, *task_ids: str) -> None:
    for task_id in task_ids:
        Store(installation.url).add_task(task_id, status="completed", completed_at=datetime(2025, 1, 1))
        fill(installation.root / task_id)


def names(installation: Installation) -> set[str]:
    return {path.name for path in installation.root.iterdir()} - {".sweepd"}


def test_held_by_name_and_by_pattern_whoever_wants_to_delete(installation: Installation) -> None:
    add(installation, "task_1", "task_2", "demo_1", "demo_2")
    installation.write_policies(POLICY)
    said = installation.run("hold", "task_1", "demo_*", "task_9", "--reason", "an audit", "--owner", "alice").stdout
    held = json.loads(installation.run("holds", "--json").stdout)["holds"]
    ids = [hold["hold_id"] for hold in held]
    assert said.splitlines() == [
        f"task_1: held until it is released (hold {ids[0]})",
        f"demo_*: held until it is released (hold {ids[1]}); 2 tasks now",
        f"task_9: held until it is released (hold {ids[2]}); no task of that name has a row now",
    ]
    done = installation.run("delete", "--yes", "--force", "task_1", check=False)
    assert done.returncode == 4
    assert done.stdout == (
        "task_1: task_1 is held by alice: an audit; nothing deletes it before that is over or released: "
        f"sweepd release {ids[0]}\n"
    )
    assert json.loads(installation.run("sweep", "old", "--json").stdout)["deleted"] == ["task_2"]
    with installation.daemon() as daemon:
        answer = daemon.delete("demo_1", force=True).json()
        assert (answer["error_code"], answer["data"]["hold_id"]) == ("TASK_HELD", ids[1])
        end = time.monotonic() + 30
        while "sweepd_holds 3.0" not in daemon.get("/metrics").text:  # placed by another process
            assert time.monotonic() < end
            time.sleep(0.2)
        url = f"{daemon.address}/api/v0/holds/{ids[1]}"
        assert requests.delete(url, timeout=30).json()["message"] == "保留已解除"
        assert daemon.delete("demo_1").status_code == 200
    assert names(installation) == {"task_1", "demo_2"}
    assert installation.run("release", "task_1").stdout == f"task_1: released (hold {ids[0]} of alice)\n"
    assert "deleted 3 files" in installation.run("delete", "--yes", "task_1").stdout


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_listed_with_those_that_are_over_and_released_once(installation: Installation) -> None:
    installation.run("hold", "task_1", "--reason", "an audit", "--for", "1s")
    installation.run("hold", "task_2", "--reason", "für später", "--until", "2099-12-31", "--owner", "bob")
    [hold] = json.loads(installation.run("hold", "x?", "--reason", "r", "--json", cold=True).stdout)["placed"]
    assert (hold["pattern"], hold["tasks"], hold["until"]) == ("x?", 0, None)
    assert installation.run("release", hold["hold_id"], cold=True).returncode == 0
    again = installation.run("release", hold["hold_id"], "task_7", check=False)
    assert again.returncode == 4
    first, second = again.stdout.splitlines()
    assert "has been released already at" in first
    assert second == "task_7: no hold in force was placed on task_7"
    time.sleep(1)
    shown = installation.run("holds", cold=True).stdout.splitlines()
    assert shown[0].split("\t") == ["hold", "tasks", "owner", "placed", "until", "reason"]
    assert [line.split("\t")[1::4] for line in shown[1:-1]] == [["task_2", "für später"]]
    assert shown[1].split("\t")[4] == "2100-01-01 00:00 +00:00"
    states = [line.split("\t")[-1] for line in installation.run("holds", "--all").stdout.splitlines()[1:-1]]
    assert states[:2] == ["over", "in force"]
    assert states[2].startswith("released by cli:")


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_a_wrong_hold_is_a_wrong_command_line(installation: Installation) -> None:
    wrong = {
        ("task_1",): "Missing option '--reason'",
        ("task_1", "--reason", " "): "must be 1 to 500 printable characters",
        ("a/b", "--reason", "r"): "neither a task id nor a pattern",
        ("ok_1", ".*", "--reason", "r"): "neither a task id nor a pattern",
        ("*", "--reason", "r"): "matches every task; say so with --all-tasks",
        ("task_1", "--reason", "r", "--until", "2020-01-01"): "would be over already",
        ("task_1", "--reason", "r", "--until", "tomorrow"): "not a date",
        ("task_1", "--reason", "r", "--for", "3"): "a duration needs a unit",
        ("task_1", "--reason", "r", "--for", "3d", "--until", "2099-01-01"): "not both",
    }
    for arguments, message in wrong.items():
        done = installation.run("hold", *arguments, check=False)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert json.loads(installation.run("holds", "--all", "--json").stdout) == {"holds": [], "total": 0}
    assert "held until" in installation.run("hold", "*", "--all-tasks", "--reason", "migration").stdout


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_what_waits_in_the_trash_is_held_too(installation: Installation) -> None:
    add(installation, "task_1")
    installation.run("delete", "--yes", "--retain", "7d", "task_1")
    said = installation.run("hold", "task_1", "--reason", "an audit").stdout
    assert "; its directory is gone already; 1 of its deletions wait in the trash and stay there" in said
    [waiting] = json.loads(installation.run("trash", "--json").stdout)["deletions"]
    refused = installation.run("purge", "--yes", waiting["deletion_id"], check=False)
    assert (refused.returncode, "task_1 is held by" in refused.stderr) == (4, True)
    installation.run("restore", "task_1")
    assert names(installation) == {"task_1"}
