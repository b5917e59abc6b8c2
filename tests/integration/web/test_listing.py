"""``GET /api/v0/data_pipeline/tasks``."""

from __future__ import annotations

import pytest

from integration.web.installation import Api, Installation

FIRST, SECOND = "task_20250702_173932", "task_20250702_174521"


async def test_the_contracts_example(api: Api, installation: Installation) -> None:
    installation.row(FIRST, task_name="测试任务", created_at="2025-07-02 17:39:32")
    installation.row(
        SECOND,
        task_name="已删除目录的任务",
        directory_exists=0,
        created_at="2025-07-02 17:45:21.123456",
        updated_at="2025-07-02 21:45:30",
        by_user="ann",
        db_name="sales",
        started_at="2025-07-02 17:45:22",
        completed_at="2025-07-02 17:46:00",
    )
    answer = await api.listing()
    none = dict.fromkeys(("started_at", "completed_at", "by_user", "db_name"))
    expected = [
        {
            "task_id": SECOND,
            "task_name": "已删除目录的任务",
            "status": "completed",
            "directory_exists": False,
            "updated_at": "2025-07-02T21:45:30",
            "created_at": "2025-07-02T17:45:21",
            "started_at": "2025-07-02T17:45:22",
            "completed_at": "2025-07-02T17:46:00",
            "by_user": "ann",
            "db_name": "sales",
        },
        {
            "task_id": FIRST,
            "task_name": "测试任务",
            "status": "completed",
            "directory_exists": True,
            "updated_at": None,
            "created_at": "2025-07-02T17:39:32",
            **none,
        },
    ]
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "code": 200,
        "message": "获取任务列表成功",
        "tasks": expected,
        "data": {"tasks": expected, "total": 2, "limit": 100, "offset": 0},
    }
    assert list(answer.body["tasks"][0])[:6] == [
        "task_id",
        "task_name",
        "status",
        "directory_exists",
        "updated_at",
        "created_at",
    ]
    assert b"hunter2" not in answer.raw


async def test_a_deletion_shows(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10)
    deleted = (await api.delete(FIRST)).body["data"]["deleted_at"]
    [entry] = (await api.listing()).body["tasks"]
    assert (entry["directory_exists"], entry["updated_at"]) == (False, deleted)


async def test_pages_and_status(api: Api, installation: Installation) -> None:
    for number in range(7):
        status = "failed" if number % 2 else "completed"
        installation.row(f"task_{number}", status=status, created_at=f"2025-07-02 17:00:0{number}")
    page = (await api.listing("?limit=2&offset=3")).body
    assert [task["task_id"] for task in page["tasks"]] == ["task_3", "task_2"]
    assert (page["data"]["total"], page["data"]["limit"], page["data"]["offset"]) == (7, 2, 3)
    failed = (await api.listing("?status=failed&limit=1000")).body
    assert [task["task_id"] for task in failed["tasks"]] == ["task_5", "task_3", "task_1"]
    assert failed["data"]["total"] == 3
    assert (await api.listing("?status=unheard-of")).body["tasks"] == []
    assert (await api.listing("?offset=9223372036854775807")).body["tasks"] == []


async def test_no_date_and_no_status(api: Api, installation: Installation) -> None:
    installation.row(FIRST, created_at=None, directory_exists=None)
    [entry] = (await api.listing()).body["tasks"]
    assert (entry["created_at"], entry["directory_exists"]) == (None, True)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "参数错误: limit 必须为 1 到 1000 之间的整数"),
        ("limit=1001", "参数错误: limit 必须为 1 到 1000 之间的整数"),
        ("limit=", "参数错误: limit 必须为 1 到 1000 之间的整数"),
        ("limit=1&limit=2", "参数错误: limit 必须为 1 到 1000 之间的整数"),
        ("limit=%EF%BC%91", "参数错误: limit 必须为 1 到 1000 之间的整数"),
        ("offset=-1", "参数错误: offset 必须为 0 到 9223372036854775807 之间的整数"),
        ("offset=1.5", "参数错误: offset 必须为 0 到 9223372036854775807 之间的整数"),
        ("offset=9223372036854775808", "参数错误: offset 必须为 0 到 9223372036854775807 之间的整数"),
        ("status=", "参数错误: status 必须为一个任务状态"),
        ("status=a%00b", "参数错误: status 必须为一个任务状态"),
        ("status=failed&status=completed", "参数错误: status 必须为一个任务状态"),
        ("status=" + "x" * 51, "参数错误: status 必须为一个任务状态"),
    ],
)
async def test_wrong_values(api: Api, query: str, message: str) -> None:
    answer = await api.listing("?" + query)
    assert (answer.status, answer.body["error_code"], answer.body["message"]) == (400, "INVALID_PARAMETER", message)


async def test_english(api: Api) -> None:
    answer = await api.ask("GET", "/api/v0/data_pipeline/tasks?limit=x", headers={"Accept-Language": "en"})
    assert answer.body["message"] == "Invalid parameter: limit must be a whole number from 1 to 1000"
