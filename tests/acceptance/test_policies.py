"""Policies as people run them: in two phases, against their limits, and after they have suspended themselves."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from support.daemons import Installation
from support.stores import Store
from support.trees import fill, snapshot

TWO_PHASES = """
version: 1
policies:
  - name: directories-first
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {trash: {retain: 7d}}
  - name: records-later
    mode: enforce
    match: {all: [{directory: missing}, {older_than: {age: 365d, by: completed}}]}
    action: {delete: records}
"""
LIMITED = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {older_than: 30d}
    limits: {max_tasks: 2}
    action: {delete: directory}
"""

ONE_BY_ONE = LIMITED.replace("{max_tasks: 2}", "{max_tasks: 1, on_exceed: truncate}")


def add(installation: Installation, task_id: str, completed: datetime = datetime(2024, 1, 1)) -> Path:
    store = Store(installation.url)
    store.add_task(task_id, status="completed", completed_at=completed)
    store.add_step(task_id)
    return fill(installation.root / task_id)


def immovable(installation: Installation, task_id: str) -> Path:
    """A symbolic link in the place of a task directory: it is never deleted."""
    directory = add(installation, task_id)
    elsewhere = installation.folder / f"moved-{task_id}"
    directory.rename(elsewhere)
    directory.symlink_to(elsewhere)
    return directory


def sweep(installation: Installation, policy: str) -> dict[str, object]:
    report: dict[str, object] = json.loads(installation.run("sweep", policy, "--json").stdout)
    return report


def test_directories_first_and_records_later_with_the_trash_in_between(
    installation: Installation, store: Store
) -> None:
    """Restored in between, a task is whole again; its records stay as long as it could be."""
    installation.write_policies(TWO_PHASES)
    directory = add(installation, "task_1")
    tree, row, steps = snapshot(directory), store.task("task_1"), store.steps("task_1")

    assert sweep(installation, "records-later")["considered"] == 0, "nothing while the directory is there"
    assert sweep(installation, "directories-first")["deleted"] == ["task_1"]
    assert not directory.exists()
    kept = store.task("task_1")
    assert kept is not None
    assert not kept["directory_exists"]
    assert store.steps("task_1") == steps

    installation.run("restore", "task_1")
    assert (snapshot(directory), store.task("task_1"), store.steps("task_1")) == (tree, row, steps)
    assert sweep(installation, "records-later")["considered"] == 0

    assert sweep(installation, "directories-first")["deleted"] == ["task_1"]
    assert sweep(installation, "records-later")["considered"] == 0, "nothing while the directory waits in the trash"
    [waiting] = json.loads(installation.run("trash", "--json").stdout)["deletions"]
    installation.run("purge", "--yes", waiting["deletion_id"])
    assert sweep(installation, "records-later")["deleted"] == ["task_1"]
    assert (store.task("task_1"), store.steps("task_1")) == (None, [])
    refused = installation.run("restore", "task_1", check=False)
    assert (refused.returncode, "its last deletion is purged" in refused.stdout) == (4, True)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_one_task_too_many_is_an_exit_status_a_log_line_and_a_metric(installation: Installation) -> None:
    names = ["task_1", "task_2", "task_3"]
    for name in names:
        add(installation, name)
    installation.write_policies(LIMITED)
    done = installation.run("sweep", "old", check=False)
    assert done.returncode == 7
    assert "3 tasks are selected, limits.max_tasks is 2: nothing was deleted" in done.stdout
    installation.write_policies(LIMITED.replace("    limits", "    schedule: {every: 1s}\n    limits"))
    with installation.daemon() as daemon:
        event = daemon.wait_for_event("sweep_finished")
        assert (event["outcome"], event["error"], event["level"]) == ("blocked", "LIMIT_EXCEEDED", "error")
        assert event["limits"] == ["max_tasks"]
        assert 'sweepd_sweeps_blocked_total{limit="max_tasks",policy="old"}' in daemon.get("/metrics").text
    assert sorted(path.name for path in installation.root.iterdir() if path.name != ".sweepd") == names


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
@pytest.mark.parametrize("way", ["resume", "change"])
def test_a_policy_that_keeps_failing_suspends_itself(installation: Installation, way: str) -> None:
    links = [immovable(installation, f"task_{number}") for number in (1, 2, 3)]
    scheduled = ONE_BY_ONE.replace("    limits", "    schedule: {every: 1s}\n    limits")
    installation.write_policies(scheduled)
    with installation.daemon() as daemon:
        assert "its last 3 sweeps failed" in daemon.wait_for_event("policy_suspended")["reason"]
        daemon.wait_for_event("sweep_refused", error="POLICY_SUSPENDED", level="error")
        refused = installation.run("sweep", "old", check=False)
        assert (refused.returncode, "sweepd resume old" in refused.stderr) == (8, True)
        assert 'sweepd_policy_suspended{policy="old"} 1.0' in daemon.get("/metrics").text
        for link in links:
            directory = link.readlink()
            link.unlink()
            directory.rename(link)
        if way == "resume":
            assert installation.run("resume", "old", cold=True).stdout == (
                "policy old runs again\n3 tasks that failed are tried again by its next sweep\n"
            )
            assert daemon.wait_for_event("deletion_finished", outcome="success")["task_ids"] == ["task_1"]
            assert installation.run("resume", "old").stdout == "policy old is not suspended\n"
        assert len(daemon.events("sweep_refused")) == 1, "said once"
    if way == "change":
        installation.write_policies(scheduled.replace("max_tasks: 1", "max_tasks: 3"))
        with installation.daemon() as daemon:
            assert daemon.wait_for_event("policy_resumed")["reason"] == "the policy has changed"
            [gone] = daemon.wait_for_event("deletion_finished", outcome="success")["task_ids"]
            assert gone in ("task_1", "task_2", "task_3"), "they go side by side"
    unknown = installation.run("resume", "nonsense", check=False)
    assert unknown.returncode == 2


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_the_daemon_shows_what_commands_suspend_and_resume(installation: Installation) -> None:
    for number in (1, 2, 3):
        immovable(installation, f"task_{number}")
    installation.write_policies(ONE_BY_ONE)
    with installation.daemon() as daemon:

        def shown(value: str) -> bool:
            end = time.monotonic() + 20
            while f'sweepd_policy_suspended{{policy="old"}} {value}' not in daemon.get("/metrics").text:
                if time.monotonic() > end:
                    return False
                time.sleep(0.2)
            return True

        for _ in range(3):
            installation.run("sweep", "old", check=False)
        assert shown("1.0")
        installation.run("resume", "old")
        assert shown("0.0")
