"""A large batch in the background: seen while it runs, killed in the middle, and whole in the end."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import requests

from support.daemons import TASKS, Daemon, Installation
from support.stores import Store
from support.trees import fill

# With the id that no task has, TORTURE=1 makes the batch as large as one may be.
TASKS_IN_ALL = 999 if os.environ.get("TORTURE") else 150
FILES = 3


def follow(daemon: Daemon, url: str, until: int, after: int = 0) -> list[tuple[str, int | None, dict[str, Any]]]:
    """Name, id and data of the job's events up to that number of a task, or to the end."""
    found: list[tuple[str, int | None, dict[str, Any]]] = []
    headers = {"Last-Event-ID": str(after)}
    with requests.get(f"{daemon.address}{url}/events", headers=headers, stream=True, timeout=60) as response:
        assert response.status_code == 200
        fields: dict[str, str] = {}
        for line in response.iter_lines(decode_unicode=True):
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                number = int(fields["id"]) if "id" in fields else None
                found.append((fields["event"], number, json.loads(fields["data"])))
                fields = {}
                if number is not None and number >= until:
                    break
    return found


def test_a_job_killed_half_way_is_finished_by_the_next_daemon(installation: Installation, store: Store) -> None:
    ids = [f"task_{number:04}" for number in range(TASKS_IN_ALL)]
    for task_id in ids:
        store.add_task(task_id, status="completed")
        fill(installation.root / task_id, FILES)
    # slow enough to be seen, and for the kill to come in the middle
    text = installation.config.read_text(encoding="utf-8")
    installation.config.write_text(f"{text}workers: {{max_files_per_second: 100}}\n", encoding="utf-8")
    body = {"task_ids": [*ids, "task_missing"], "confirm": True, "async": True}
    with installation.daemon() as daemon:
        accepted = requests.delete(daemon.address + TASKS, json=body, timeout=30)
        assert accepted.status_code == 202
        url = accepted.json()["data"]["url"]
        seen = follow(daemon, url, TASKS_IN_ALL // 3)
        daemon.kill()
    done = sum(not (installation.root / task_id).exists() for task_id in ids)
    assert TASKS_IN_ALL // 3 <= done < TASKS_IN_ALL, "the kill was to come half-way"
    last = max(number for _, number, _ in seen if number is not None)
    progress = [data["tasks_done"] for name, _, data in seen if name == "progress"]
    assert progress == sorted(progress)
    with installation.daemon() as daemon:
        rest = follow(daemon, url, TASKS_IN_ALL + 2, after=last)
        job = _ended(daemon, url)
    result = job["result"]
    summary = result["summary"]
    size = sum(entry["deleted_bytes"] for entry in result["deleted_tasks"])
    assert job["state"] == "finished"
    assert [entry["task_id"] for entry in result["deleted_tasks"]] == ids
    assert {entry["deleted_files_count"] for entry in result["deleted_tasks"]} == {FILES}
    assert [entry["error_code"] for entry in result["failed_tasks"]] == ["TASK_NOT_FOUND"]
    assert (summary["total_requested"], summary["successfully_deleted"]) == (TASKS_IN_ALL + 1, TASKS_IN_ALL)
    assert (summary["failed"], summary["not_attempted"], summary["deleted_bytes"]) == (1, 0, size)
    ledger = store.query("SELECT task_id, state, files, job_id FROM sweepd_deletions WHERE state <> 'aborted'")
    assert sorted(row["task_id"] for row in ledger) == ids, "each is deleted exactly once"
    assert {(row["state"], row["files"], row["job_id"]) for row in ledger} == {("purged", FILES, job["job_id"])}
    told = [number for name, number, _ in [*seen, *rest] if name == "task"]
    assert told == list(range(1, TASKS_IN_ALL + 2)), "every outcome is told once, over the restart"
    assert rest[-1][0] == "end"
    assert not any((installation.root / task_id).exists() for task_id in ids)


def _ended(daemon: Daemon, url: str) -> dict[str, Any]:
    for _ in range(300):
        job: dict[str, Any] = daemon.get(url).json()["data"]
        if job["finished_at"] is not None:
            return job
        time.sleep(0.1)
    raise AssertionError(f"the job has not ended: {job}")
