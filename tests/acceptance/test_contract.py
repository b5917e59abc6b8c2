"""The examples of the user's own API document, unchanged but for the port, against the daemon on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from support import curl
from support.daemons import Daemon, Installation
from support.stores import Store

CURL_KEEPING_RECORDS = """curl -X DELETE \\
  http://localhost:8084/api/v0/data_pipeline/tasks/task_20250702_173932 \\
  -H "Content-Type: application/json" \\
  -d '{ "confirm": true, "delete_database_records": false }'"""

CURL_DELETING_RECORDS = """curl -X DELETE \\
  http://localhost:8084/api/v0/data_pipeline/tasks/task_20250702_173932 \\
  -H "Content-Type: application/json" \\
  -d '{ "confirm": true, "delete_database_records": true }'"""

CURL_BATCH = """curl -X DELETE \\
  http://localhost:8084/api/v0/data_pipeline/tasks \\
  -H "Content-Type: application/json" \\
  -d '{ "task_ids": ["task_20250702_173932", "task_20250702_174521"], "confirm": true,
        "delete_database_records": false, "continue_on_error": true }'"""

CLIENT = '''
import requests
def delete_task(task_id, delete_db_records=False):
    """删除单个任务"""
    url = f"http://localhost:8084/api/v0/data_pipeline/tasks/{task_id}"
    payload = { "confirm": True, "delete_database_records": delete_db_records }
    response = requests.delete(url, json=payload)
    return response.json()
def delete_tasks_batch(task_ids, delete_db_records=False):
    """批量删除任务"""
    url = "http://localhost:8084/api/v0/data_pipeline/tasks"
    payload = {
        "task_ids": task_ids, "confirm": True, "delete_database_records": delete_db_records, "continue_on_error": True }
    response = requests.delete(url, json=payload)
    return response.json()
'''

FIRST, SECOND = "task_20250702_173932", "task_20250702_174521"


@pytest.fixture
def store(postgres_installation: Installation) -> Store:
    """Two finished tasks: 15 files of 2.5 MB in all, and 8 of 1.2 MB."""
    made = Store(postgres_installation.url)
    for task_id, files, size in ((FIRST, 15, 2_500_000), (SECOND, 8, 1_200_000)):
        made.add_task(task_id, status="completed", task_name="测试任务", created_at=datetime(2025, 7, 2, 17, 39, 32))
        made.add_step(task_id)
        _fill(postgres_installation.root / task_id, files, size)
    return made


@pytest.fixture
def daemon(postgres_installation: Installation, store: Store) -> Iterator[Daemon]:
    del store  # its tasks have to be there first
    with postgres_installation.daemon() as running:
        yield running


def test_the_first_curl_example_deletes_the_directory_and_keeps_the_records(
    daemon: Daemon, store: Store, postgres_installation: Installation
) -> None:
    answer = _curl(CURL_KEEPING_RECORDS, daemon)
    data = answer["data"]
    assert {key: answer[key] for key in ("success", "code", "message")} == {
        "success": True,
        "code": 200,
        "message": "任务目录删除成功",
    }
    assert list(data)[:6] == [
        "task_id",
        "directory_deleted",
        "database_records_deleted",
        "deleted_files_count",
        "deleted_size",
        "deleted_at",
    ]
    assert data["task_id"] == FIRST
    assert (data["directory_deleted"], data["database_records_deleted"]) == (True, False)
    assert (data["deleted_files_count"], data["deleted_size"]) == (15, "2.5 MB")
    row = store.task(FIRST)
    assert row is not None
    assert row["directory_exists"] is False
    assert row["updated_at"].isoformat() == data["deleted_at"]
    assert len(store.steps(FIRST)) == 1
    assert not (postgres_installation.root / FIRST).exists()
    assert (postgres_installation.root / SECOND).exists()


def test_the_second_curl_example_deletes_the_records_too(daemon: Daemon, store: Store) -> None:
    data = _curl(CURL_DELETING_RECORDS, daemon)["data"]
    assert (data["directory_deleted"], data["database_records_deleted"]) == (True, True)
    assert store.task(FIRST) is None
    assert store.steps(FIRST) == []
    assert store.task(SECOND) is not None


def test_the_batch_curl_example(daemon: Daemon, postgres_installation: Installation) -> None:
    answer = _curl(CURL_BATCH, daemon)
    assert answer["message"] == "批量删除完成"
    deleted = [{key: entry[key] for key in list(entry)[:5]} for entry in answer["data"]["deleted_tasks"]]
    assert deleted == [
        {
            "task_id": FIRST,
            "directory_deleted": True,
            "database_records_deleted": False,
            "deleted_files_count": 15,
            "deleted_size": "2.5 MB",
        },
        {
            "task_id": SECOND,
            "directory_deleted": True,
            "database_records_deleted": False,
            "deleted_files_count": 8,
            "deleted_size": "1.2 MB",
        },
    ]
    assert answer["data"]["failed_tasks"] == []
    summary = answer["data"]["summary"]
    assert summary["total_requested"] == 2
    assert (summary["successfully_deleted"], summary["failed"]) == (2, 0)
    assert summary["total_size_freed"] == "3.7 MB"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", answer["data"]["deleted_at"])
    assert {path.name for path in postgres_installation.root.iterdir()} == {".sweepd"}


def test_the_documents_python_client(daemon: Daemon, store: Store) -> None:
    space: dict[str, Any] = {}
    port = str(urlsplit(daemon.address).port)
    exec(compile(CLIENT.replace("8084", port), "client", "exec"), space)  # the document's own code
    store.query("UPDATE data_pipeline_tasks SET status = 'in_progress' WHERE task_id = ?", [SECOND])
    result = space["delete_task"](FIRST)
    batch = space["delete_tasks_batch"]([FIRST, SECOND])
    assert result["data"]["deleted_files_count"] == 15
    assert batch["message"] == "批量删除部分完成"
    assert batch["success"] is True
    [failed] = batch["data"]["failed_tasks"]
    assert {key: failed[key] for key in ("task_id", "error", "error_code")} == {
        "task_id": SECOND,
        "error": "任务正在运行中,无法删除",
        "error_code": "TASK_RUNNING",
    }


def test_the_documents_error_answers(daemon: Daemon, store: Store) -> None:
    url = f"{daemon.address}/api/v0/data_pipeline/tasks"
    missing = daemon.delete("task_invalid_id")
    unconfirmed = requests.delete(f"{url}/{FIRST}", json={}, timeout=10)
    store.query("UPDATE data_pipeline_tasks SET status = 'in_progress' WHERE task_id = ?", [FIRST])
    running = daemon.delete(FIRST)
    forced = daemon.delete(FIRST, force=True)
    assert (missing.status_code, missing.json()["code"], missing.json()["message"]) == (
        404,
        404,
        "任务不存在: task_invalid_id",
    )
    assert unconfirmed.status_code == 400
    assert unconfirmed.json()["message"] == "缺少必需参数: confirm"
    assert unconfirmed.json()["missing_params"] == ["confirm"]
    assert running.status_code == 409
    assert running.json()["message"] == "任务正在运行中,无法删除"
    assert running.json()["data"] == {"task_id": FIRST, "current_status": "in_progress"}
    assert forced.status_code == 200


def test_the_list_shows_directories_as_the_document_does(daemon: Daemon) -> None:
    deleted = daemon.delete(SECOND).json()["data"]
    answer = daemon.get("/api/v0/data_pipeline/tasks").json()
    rows = {row["task_id"]: {key: row[key] for key in list(row)[:6]} for row in answer["tasks"]}
    assert rows == {
        FIRST: {
            "task_id": FIRST,
            "task_name": "测试任务",
            "status": "completed",
            "directory_exists": True,
            "updated_at": None,
            "created_at": "2025-07-02T17:39:32",
        },
        SECOND: {
            "task_id": SECOND,
            "task_name": "测试任务",
            "status": "completed",
            "directory_exists": False,
            "updated_at": deleted["deleted_at"],
            "created_at": "2025-07-02T17:39:32",
        },
    }
    assert answer["data"]["tasks"] == answer["tasks"]


def _curl(command: str, daemon: Daemon) -> dict[str, Any]:
    answer: dict[str, Any] = curl.run(command.replace("8084", str(urlsplit(daemon.address).port)))
    return answer


def _fill(directory: Path, files: int, size: int) -> None:
    directory.mkdir(parents=True)
    for index in range(files):
        length = size // files + (1 if index < size % files else 0)
        (directory / f"file_{index}.json").write_bytes(b"x" * length)
