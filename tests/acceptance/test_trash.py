"""The undo as people use it: on the command line, by HTTP beside it, by a policy, and to its end."""

from __future__ import annotations

import json
import shutil
import time
from datetime import datetime
from pathlib import Path

import pytest
import requests

from support.daemons import TASKS, Installation
from support.stores import Row, Store
from support.trees import fill, snapshot

POLICY = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {trash: {retain: 7d, delete: directory_and_records}}
"""


def add(installation: Installation, task_id: str, files: int = 5) -> Path:
    store = Store(installation.url)
    store.add_task(task_id, status="completed", completed_at=datetime(2025, 1, 1))
    store.add_step(task_id)
    return fill(installation.root / task_id, files)


def rows(installation: Installation, task_id: str) -> tuple[Row | None, list[Row]]:
    store = Store(installation.url)
    return store.task(task_id), store.steps(task_id)


def test_deleted_with_retain_listed_and_restored(installation: Installation) -> None:
    directory = add(installation, "task_1")
    tree, before = snapshot(directory), rows(installation, "task_1")
    said = installation.run("delete", "--yes", "--records", "--retain", "7d", "task_1").stdout
    assert "task_1: moved to the trash (5 files, " in said
    assert "can be restored until" in said
    assert not directory.exists()
    assert rows(installation, "task_1") == (None, [])

    [waiting] = json.loads(installation.run("trash", "--json").stdout)["deletions"]
    assert (waiting["task_id"], waiting["files"], waiting["what"]) == ("task_1", 5, "directory_and_records")
    assert waiting["deletion_id"] in installation.run("trash", "task_1").stdout
    assert "secret" not in installation.run("trash", "--json").stdout

    said = installation.run("restore", "task_1").stdout
    assert said.startswith(f"task_1: directory and records restored (deletion {waiting['deletion_id']})\n")
    assert "sweepd hold TASK keeps it" in said
    assert snapshot(directory) == tree
    assert rows(installation, "task_1") == before
    again = installation.run("restore", "task_1", check=False)
    assert (again.returncode, "its last deletion is restored" in again.stdout) == (4, True)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_purged_before_its_time(installation: Installation) -> None:
    add(installation, "task_1")
    installation.run("delete", "--yes", "--retain", "7d", "task_1")
    [waiting] = json.loads(installation.run("trash", "--json", cold=True).stdout)["deletions"]
    unknown = installation.run("purge", "--yes", "f" * 28, waiting["deletion_id"], check=False)
    assert (unknown.returncode, "there is no deletion" in unknown.stderr) == (4, True)
    assert "task_1: purged 5 files" in installation.run("purge", "--yes", waiting["deletion_id"], cold=True).stdout
    assert list((installation.root / ".sweepd" / "retained").iterdir()) == []
    gone = installation.run("restore", waiting["deletion_id"], check=False, cold=True)
    assert (gone.returncode, "does not wait in the trash: it is purged" in gone.stdout) == (4, True)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_a_duration_without_a_unit_deletes_nothing(installation: Installation) -> None:
    directory = add(installation, "task_1")
    done = installation.run("delete", "--yes", "--retain", "7", "task_1", check=False)
    assert (done.returncode, "a duration needs a unit" in done.stderr) == (2, True)
    assert directory.exists()


def test_a_policy_lets_tasks_wait_and_all_of_them_come_back(installation: Installation) -> None:
    names = [f"task_{number}" for number in range(5)]
    before = {name: (snapshot(add(installation, name)), rows(installation, name)) for name in names}
    installation.write_policies(POLICY)
    assert "after 7d in the trash" in installation.run("plan", "old").stdout
    report = json.loads(installation.run("sweep", "old", "--json").stdout)
    assert (report["outcome"], sorted(report["deleted"]), report["freed_bytes"]) == ("success", names, 0)
    installation.run("restore", *names)
    assert {name: (snapshot(installation.root / name), rows(installation, name)) for name in names} == before


def test_the_daemon_purges_what_has_waited_long_enough_and_restores_by_http(installation: Installation) -> None:
    tree = snapshot(add(installation, "task_kept"))
    add(installation, "task_gone")
    retained = installation.root / ".sweepd" / "retained"
    with installation.daemon() as daemon:
        assert daemon.delete("task_kept", retain="1h").status_code == 200
        assert daemon.delete("task_gone", retain="1s").status_code == 200
        purged = daemon.wait_for_event("trash_purged")
        assert (purged["task_ids"], purged["files"], purged["outcome"]) == (["task_gone"], 5, "success")
        assert len(list(retained.iterdir())) == 1
        restored = requests.post(f"{daemon.address}{TASKS}/task_kept/restore", timeout=30)
        assert restored.json()["message"] == "任务恢复成功"
        end = time.monotonic() + 30
        while "sweepd_trash_deletions 0.0" not in daemon.get("/metrics").text:
            assert time.monotonic() < end
            time.sleep(0.2)
        metrics = daemon.get("/metrics").text
    assert 'sweepd_restores_total{outcome="success"} 1.0' in metrics
    assert 'sweepd_deleted_files_total{trigger="api"} 5.0' in metrics
    assert snapshot(installation.root / "task_kept") == tree


def test_a_daemon_beside_another_on_the_same_catalog_is_refused(postgres_installation: Installation) -> None:
    """Even where the root's own lock does not reach, as on another machine."""
    with postgres_installation.daemon():
        state = postgres_installation.root / ".sweepd"
        (state / "daemon.lock").unlink()
        shutil.copy(state / "root.json", state / "copied")
        (state / "copied").replace(state / "root.json")
        second = postgres_installation.run("run", check=False)
    assert second.returncode == 8
    assert "another sweepd serves the catalog" in second.stderr


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_a_deletion_that_is_stuck_says_why_wherever_it_is_shown(installation: Installation) -> None:
    add(installation, "task_1")
    installation.run("delete", "--yes", "--retain", "7d", "task_1")
    store = Store(installation.url)
    deletion_id = store.ledger("task_1")[0]["deletion_id"]
    raw = f"[Errno 13] Permission denied: '.sweepd/trash/{'0' * 28}/{deletion_id}.purge/part-0/file-1.json'"
    store.query("UPDATE sweepd_deletions SET purge_after = NULL, error = ?", [raw])  # of an earlier version
    why = (
        "removing it failed at part-0/file-1.json: Permission denied (EACCES); give the daemon's user write permission"
    )
    shown = {
        "trash": json.loads(installation.run("trash", "--json").stdout)["stuck"][0]["error"],
        "deletions": json.loads(installation.run("deletions", "--json").stdout)["deletions"][0]["error"],
        "csv": installation.run("deletions", "--csv").stdout,
        "purge": installation.run("purge", "--yes", deletion_id, check=False).stderr.replace("\n", " "),
    }
    assert {name: (why in text, "Errno" in text) for name, text in shown.items()} == dict.fromkeys(shown, (True, False))
    for command in ("trash", "deletions"):
        said = installation.run(command, check=False).stdout
        assert ("EACCES" in said, "Errno" in said) == (True, False), said
    [finding] = [
        one
        for one in json.loads(installation.run("doctor", "--json", check=False).stdout)["findings"]
        if one["check"] == "trash"
    ]
    assert finding["found"] == f"the deletion of task_1 is not finished: {why.partition('; ')[0]}"
    assert finding["remedy"].startswith("give the daemon's user write permission there, ")
