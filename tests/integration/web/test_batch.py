"""``DELETE /api/v0/data_pipeline/tasks``: several tasks, and an honest account of each."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from daemon.catalog import tasks
from daemon.config import ServerConfig
from daemon.deletion.models import Outcome, Request
from daemon.errors import CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError
from daemon.web.addresses import TASKS
from daemon.web.hints import HINTS
from integration.web.installation import NO_DATABASE, Api, Installation, serving

FIRST, SECOND, THIRD = "task_20250702_173932", "task_20250702_174521", "task_20250702_180000"


def contracted(body: dict[str, Any]) -> dict[str, Any]:
    """The body without the fields that the contract does not have."""
    extra = {"deleted_bytes", "freed_bytes", "deletion_id", "not_attempted"}
    data = body["data"]
    deleted = [
        {name: entry[name] for name in entry if name not in {*extra, "deleted_at"}} for entry in data["deleted_tasks"]
    ]
    summary = {name: value for name, value in data["summary"].items() if name not in extra}
    kept = {name: value for name, value in data.items() if name not in extra}
    return {**body, "data": {**kept, "deleted_tasks": deleted, "summary": summary}}


async def test_the_contracts_complete_example(api: Api, installation: Installation) -> None:
    installation.fifteen(FIRST)
    installation.task(SECOND, *[150_000] * 8)
    answer = await api.batch(FIRST, SECOND, delete_database_records=False, continue_on_error=True)
    stamp = str(installation.rows()[SECOND]["updated_at"])[:19].replace(" ", "T")
    assert answer.status == 200
    assert contracted(answer.body) == {
        "success": True,
        "code": 200,
        "message": "批量删除完成",
        "data": {
            "deleted_tasks": [
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
            ],
            "failed_tasks": [],
            "summary": {
                "total_requested": 2,
                "successfully_deleted": 2,
                "failed": 0,
                "total_size_freed": "3.7 MB",
            },
            "deleted_at": stamp,
        },
    }
    assert answer.body["data"]["not_attempted"] == []
    assert answer.body["data"]["summary"]["not_attempted"] == 0
    assert answer.body["data"]["summary"]["deleted_bytes"] == 3_700_000
    assert installation.tree() == set()
    assert {row["directory_exists"] for row in installation.rows().values()} == {0}


async def test_the_contracts_partial_example(api: Api, installation: Installation) -> None:
    installation.fifteen(FIRST)
    installation.task(SECOND, 10, status="in_progress")
    answer = await api.batch(FIRST, SECOND)
    body = contracted(answer.body)
    assert answer.status == 200
    assert (body["success"], body["message"]) == (True, "批量删除部分完成")
    assert body["data"]["failed_tasks"] == [
        {
            "task_id": SECOND,
            "error": "任务正在运行中,无法删除",
            "error_code": "TASK_RUNNING",
            "hint": "请等待任务结束后重试; 确认无误时可用 force: true 强制删除",
            "current_status": "in_progress",
        }
    ]
    assert body["data"]["summary"] == {
        "total_requested": 2,
        "successfully_deleted": 1,
        "failed": 1,
        "total_size_freed": "2.5 MB",
    }
    stamp = str(installation.rows()[FIRST]["updated_at"])[:19].replace(" ", "T")
    assert body["data"]["deleted_at"] == stamp
    assert installation.tree() == {SECOND, f"{SECOND}/below", f"{SECOND}/file-0"}


async def test_records_and_force_hold_for_all(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10, status="in_progress")
    installation.task(SECOND, 10)
    answer = await api.batch(FIRST, SECOND, force=True, delete_database_records=True)
    assert answer.body["message"] == "批量删除完成"
    assert (installation.tree(), installation.rows()) == (set(), {})


async def test_a_repeated_id_counts_once(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10)
    installation.task(SECOND, 10)
    data = (await api.batch(SECOND, FIRST, SECOND, SECOND)).body["data"]
    assert [entry["task_id"] for entry in data["deleted_tasks"]] == [SECOND, FIRST]
    assert data["summary"]["total_requested"] == 2


@pytest.mark.parametrize("hostile", ["..", ".sweepd", "a/b", "", "a\0b", "a\nb", "x" * 10_000])
async def test_a_hostile_id_fails_alone(api: Api, installation: Installation, hostile: str) -> None:
    installation.task(FIRST, 10)
    data = (await api.batch(hostile, FIRST)).body["data"]
    [failed] = data["failed_tasks"]
    assert failed == {
        "task_id": hostile,
        "error": failed["error"],
        "error_code": "INVALID_TASK_ID",
        "hint": HINTS["INVALID_TASK_ID"].zh,
    }
    assert failed["error"].startswith("任务ID无效: ")
    assert [entry["task_id"] for entry in data["deleted_tasks"]] == [FIRST]
    assert installation.tree() == set()


async def test_stopping_at_the_first_failure(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10)
    installation.task(THIRD, 10)
    data = (await api.batch(FIRST, "task_missing", THIRD, "task_other", continue_on_error=False)).body["data"]
    assert [entry["task_id"] for entry in data["deleted_tasks"]] == [FIRST]
    assert data["failed_tasks"] == [
        {
            "task_id": "task_missing",
            "error": "任务不存在: task_missing",
            "error_code": "TASK_NOT_FOUND",
            "hint": HINTS["TASK_NOT_FOUND"].zh,
        }
    ]
    assert data["not_attempted"] == [THIRD, "task_other"]
    assert data["summary"]["total_requested"] == 4
    assert data["summary"]["not_attempted"] == 2
    assert installation.tree() == {THIRD, f"{THIRD}/below", f"{THIRD}/file-0"}


async def test_nothing_deleted_still_has_a_time(api: Api) -> None:
    answer = await api.batch("task_missing")
    assert answer.body["message"] == "批量删除部分完成"
    assert answer.body["data"]["summary"]["total_size_freed"] == "0 B"
    assert len(answer.body["data"]["deleted_at"]) == len("2025-07-02T21:45:30")


async def test_what_had_gone_before_is_not_when_the_batch_was(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10)
    installation.row(SECOND, directory_exists=0, updated_at="2020-01-01 00:00:00")
    data = (await api.batch(FIRST, SECOND)).body["data"]
    first, second = data["deleted_tasks"]
    assert second["deleted_at"] == "2020-01-01T00:00:00"
    assert data["deleted_at"] == first["deleted_at"]
    assert (await api.batch(SECOND)).body["data"]["deleted_at"] >= first["deleted_at"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RootUnavailable("unmounted"), "ROOT_UNAVAILABLE"),
        (CatalogUnavailable("away"), "CATALOG_UNAVAILABLE"),
        (ValueError("a defect"), "INTERNAL_ERROR"),
    ],
    ids=["root", "catalog", "defect"],
)
async def test_trouble_for_all_ends_the_batch(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    engine, delete = api.context.engine, api.context.engine.delete_group

    def failing(requests: Sequence[Request]) -> list[Outcome | SweepdError]:
        if requests[0].task_id == SECOND:
            if not isinstance(error, SweepdError):
                raise error
            return [error] * len(requests)
        return delete(requests)

    for task_id in (FIRST, SECOND, THIRD):
        installation.task(task_id, 10)
    monkeypatch.setattr("daemon.jobs.batch.GROUP", 1)
    monkeypatch.setattr(engine, "delete_group", failing)
    answer = await api.batch(FIRST, SECOND, THIRD, continue_on_error=True)
    data = answer.body["data"]
    assert (answer.status, answer.body["message"]) == (200, "批量删除部分完成")
    assert [entry["error_code"] for entry in data["failed_tasks"]] == [code]
    assert data["not_attempted"] == [THIRD]
    assert {path.partition("/")[0] for path in installation.tree()} == {SECOND, THIRD}


async def test_a_catalog_that_is_away_from_the_start(installation: Installation) -> None:
    installation.task(FIRST, 10)
    before = installation.everything()
    async with serving(installation, url=NO_DATABASE) as api:
        data = (await api.batch(FIRST, SECOND)).body["data"]
    assert [entry["error_code"] for entry in data["failed_tasks"]] == ["CATALOG_UNAVAILABLE"]
    assert data["not_attempted"] == [SECOND]
    assert data["deleted_at"] is None
    assert installation.everything() == before


async def test_a_blocked_task_says_what_and_where(api: Api, installation: Installation) -> None:
    installation.row(FIRST)
    (installation.root / FIRST).write_text("a file")
    [failed] = (await api.batch(FIRST)).body["data"]["failed_tasks"]
    assert failed["error_code"] == "UNSAFE_DIRECTORY"
    assert failed["details"]["reason"].startswith(f"{FIRST} in the storage root is not a directory")


async def test_the_limit(installation: Installation) -> None:
    installation.task(FIRST, 10)
    before = installation.everything()
    async with serving(installation, server=ServerConfig(max_batch=2)) as api:
        refused = await api.batch(FIRST, SECOND, THIRD)
        assert refused.status == 400
        assert refused.bare == {
            "success": False,
            "code": 400,
            "message": "参数错误: task_ids 最多包含 2 个任务",
            "error_code": "INVALID_PARAMETER",
            "data": {"parameter": "task_ids"},
        }
        assert installation.everything() == before
        assert (await api.batch(FIRST, SECOND, FIRST, SECOND)).status == 200


async def test_failures_speak_english_on_request(api: Api) -> None:
    answer = await api.batch("task_missing", headers={"Accept-Language": "en-GB,en;q=0.9,zh;q=0.1"})
    assert answer.body["message"] == "Batch deletion partially completed"
    assert answer.body["data"]["failed_tasks"][0]["error"] == "Task not found: task_missing"
    assert answer.headers["Content-Language"] == "en"


async def test_every_deletion_of_a_batch_has_its_request_id(
    api: Api, installation: Installation, events: list[Any]
) -> None:
    installation.task(FIRST, 10)
    answer = await api.batch(FIRST, "task_missing")
    logged = [event for event in events if event["event"] in ("deletion_finished", "batch_finished")]
    assert [event["request_id"] for event in logged] == [answer.headers["X-Request-Id"]] * 3


async def test_a_shutdown_leaves_the_rest_of_a_batch(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group at hand is finished, and the client is told which ones were not begun."""
    engine, delete = api.context.engine, api.context.engine.delete_group
    loop, begun, stop = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def slow(requests: Sequence[Request]) -> list[Outcome | SweepdError]:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(stop.wait(), loop).result(5)
        return delete(requests)

    for task_id in (FIRST, SECOND):
        installation.task(task_id, 10)
    monkeypatch.setattr("daemon.jobs.batch.GROUP", 1)
    monkeypatch.setattr(engine, "delete_group", slow)
    asking = asyncio.create_task(api.batch(FIRST, SECOND))
    await begun.wait()
    closing = asyncio.create_task(api.runner.cleanup())
    await asyncio.sleep(0.05)
    stop.set()
    data = (await asking).body["data"]
    await closing
    assert [entry["task_id"] for entry in data["deleted_tasks"]] == [FIRST]
    assert data["not_attempted"] == [SECOND]
    assert {path.partition("/")[0] for path in installation.tree()} == {SECOND}


async def test_missing_parameters_are_all_named(api: Api) -> None:
    answer = await api.ask("DELETE", TASKS, json={"force": True})
    assert answer.status == 400
    assert answer.bare == {
        "success": False,
        "code": 400,
        "message": "缺少必需参数: task_ids, confirm",
        "error_code": "MISSING_PARAMETER",
        "missing_params": ["task_ids", "confirm"],
    }


async def test_busy_rows_fail_alone(api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tasks.lock

    def busy(connection: Any, tables: Any, task_ids: Any, statuses: Any) -> Any:
        if FIRST in task_ids and len(task_ids) == 1:
            raise SweepdError("locked", code=ErrorCode.TASK_BUSY)
        return lock(connection, tables, [one for one in task_ids if one != FIRST], statuses)

    installation.task(FIRST, 10)
    installation.task(SECOND, 10)
    monkeypatch.setattr(tasks, "lock", busy)
    data = (await api.batch(FIRST, SECOND)).body["data"]
    assert [entry["error_code"] for entry in data["failed_tasks"]] == ["TASK_BUSY"]
    assert [entry["task_id"] for entry in data["deleted_tasks"]] == [SECOND]


async def test_as_many_tasks_as_are_allowed_fit_into_a_body_whatever_their_ids(installation: Installation) -> None:
    most = 10_000
    async with serving(installation, server=ServerConfig(max_batch=most)) as api:
        ids = [f"{number:0128}" for number in range(most + 1)]
        for names, expected in ((ids, (400, "INVALID_PARAMETER")), ([*ids, "x" * 2**20], (413, "BODY_TOO_LARGE"))):
            body = io.BytesIO(json.dumps({"task_ids": names, "confirm": True}).encode())
            answer = await api.ask("DELETE", TASKS, data=body, headers={"Content-Type": "application/json"})
            assert (answer.status, answer.body["error_code"]) == expected, "counted, so it was read"
