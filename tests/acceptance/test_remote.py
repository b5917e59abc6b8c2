"""``sweepd --server`` and the Python client with the real process, on PostgreSQL."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from daemon.client import Client, Conflict
from support.daemons import Installation
from support.postgres import create_pipeline_tables
from support.stores import Store
from support.trees import fill


def test_a_running_daemon_by_command_and_by_client(postgres_installation: Installation) -> None:
    site, store = postgres_installation, Store(postgres_installation.url)
    for task_id, status in (("task_1", "completed"), ("task_2", "completed"), ("task_3", "in_progress")):
        store.add_task(task_id, status=status)
        fill(site.root / task_id, 5)
    with site.daemon() as daemon:
        here = ("--server", daemon.address)
        listed = json.loads(site.run(*here, "tasks", "--json").stdout)["tasks"]
        assert {task["task_id"]: task["directory_exists"] for task in listed} == dict.fromkeys(
            ("task_1", "task_2", "task_3"), True
        )
        assert site.run(*here, "delete", "--yes", "--retain", "7d", "task_1").stdout.startswith("task_1: moved to the")
        refused = site.run(*here, "delete", "--yes", "task_3", check=False)
        assert (refused.returncode, "Try again when it has ended" in refused.stdout) == (4, True)
        assert "directory restored" in site.run(*here, "restore", "task_1").stdout
        with Client(daemon.address) as client:
            assert client.ready()["checks"]["catalog"]["ready"] is True
            assert client.delete("task_2", records=True)["database_records_deleted"] is True
            with pytest.raises(Conflict) as caught:
                client.delete("task_3")
            # whoever is told the request id finds it
            assert [event["error"] for event in daemon.events() if event.get("request_id") == caught.value.request_id][
                -1
            ] == "TASK_RUNNING"
        address = daemon.address
    assert sorted(path.name for path in site.root.iterdir()) == [".sweepd", "task_1", "task_3"]
    assert store.task("task_2") is None
    gone = site.run("--server", address, "tasks", check=False)
    assert (gone.returncode, gone.stdout) == (9, "")
    assert f"cannot reach {address}" in gone.stderr


def test_events_go_on_through_a_kill_and_a_restart(postgres_url: str, tmp_path: Path) -> None:
    create_pipeline_tables(postgres_url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site, store = Installation(tmp_path / "site", postgres_url, port=port), Store(postgres_url)
    site.init()
    names = [f"task_{number:03d}" for number in range(200)]
    for name in names:
        store.add_task(name, status="completed")
        fill(site.root / name, 3)
    with Client(f"http://127.0.0.1:{port}") as client:
        with site.daemon() as daemon:
            job_id = client.delete_async(names)["job_id"]
            events = client.events(job_id)
            told = [next(event for event in events if event.kind == "task")]
            daemon.kill()
        with site.daemon():
            told += events
            job = client.wait(job_id, timeout=60)
    assert [event.data["task_id"] for event in told if event.kind == "task"] == names
    assert told[-1].kind == "end"
    assert job["result"] is not None
    assert job["result"]["summary"]["successfully_deleted"] == len(names)
    assert [path.name for path in site.root.iterdir()] == [".sweepd"]
