"""``GET /api/v0/data_pipeline/tasks``."""

from __future__ import annotations

import pytest

from daemon.web import cursors
from integration.web.installation import Api, Installation

# Of the order by creation: a real place, and one whose key is a number.
OTHERS = cursors.encode(["-created", "2025-07-02 17:39:32", "task_1"])
NO_TIME = cursors.encode(["-created", 5, "task_1"])
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
    not_counted = {"files": None, "size_bytes": None, "held": False}
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
            **not_counted,
        },
        {
            "task_id": FIRST,
            "task_name": "测试任务",
            "status": "completed",
            "directory_exists": True,
            "updated_at": None,
            "created_at": "2025-07-02T17:39:32",
            **none,
            **not_counted,
        },
    ]
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "code": 200,
        "message": "获取任务列表成功",
        "tasks": expected,
        "data": {"tasks": expected, "total": 2, "limit": 100, "offset": 0, "next_cursor": None},
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


async def test_pages_by_cursor(api: Api, installation: Installation) -> None:
    for number in range(7):
        installation.row(f"task_{number}", created_at=None if number < 2 else f"2025-07-02 17:00:0{number // 2}")
    pages, query = [], "?limit=3"
    while True:
        data = (await api.listing(query)).body["data"]
        pages.append([task["task_id"] for task in data["tasks"]])
        assert data["total"] == (7 if len(pages) == 1 else None)  # counted once
        if data["next_cursor"] is None:
            break
        installation.row(f"task_new_{len(pages)}", created_at="2026-01-01 00:00:00")
        query = f"?limit=3&cursor={data['next_cursor']}"
    assert pages == [["task_6", "task_5", "task_4"], ["task_3", "task_2", "task_1"], ["task_0"]]
    assert (await api.listing(query + "&total=true")).body["data"]["total"] == 9
    assert (await api.listing("?total=false")).body["data"]["total"] is None


async def test_filters_and_what_is_known_of_a_directory(api: Api, installation: Installation) -> None:
    installation.row("task_a", by_user="ann", db_name="sales", task_name="Quarter 100%")
    installation.row("task_b", by_user="ann", directory_exists=0)
    installation.row("task_c", by_user="bob", status="failed", created_at="2999-01-01 00:00:00")
    installation.seen("task_a", files=3, size_bytes=4096)
    held = {"task_id": "task_b", "reason": "an audit"}
    assert (await api.ask("POST", "/api/v0/holds", json=held)).status == 201
    for query, expected in {
        "user=ann": ["task_b", "task_a"],
        "database=sales": ["task_a"],
        "q=0%25": ["task_a"],
        "q=TASK_C": ["task_c"],
        "q=_%25": [],
        "directory_exists=false": ["task_b"],
        "directory_exists=true&sort=task_id": ["task_a", "task_c"],
        "older_than=1d&sort=task_id": ["task_a", "task_b"],
        "status=failed,completed&sort=size": ["task_a", "task_b", "task_c"],
        "status=failed&status=pending": ["task_c"],
        "user=ann&directory_exists=true": ["task_a"],
    }.items():
        body = (await api.listing("?" + query)).body
        assert [task["task_id"] for task in body["tasks"]] == expected, query
        assert body["data"]["total"] == len(expected), query
    known = {t["task_id"]: (t["files"], t["size_bytes"], t["held"]) for t in (await api.listing()).body["tasks"]}
    assert known == {"task_a": (3, 4096, False), "task_b": (None, None, True), "task_c": (None, None, False)}


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
        ("status=", "参数错误: status 必须为任务状态,多个以逗号分隔"),
        ("status=a%00b", "参数错误: status 必须为任务状态,多个以逗号分隔"),
        ("status=failed&status=", "参数错误: status 必须为任务状态,多个以逗号分隔"),
        ("status=" + "x" * 51, "参数错误: status 必须为任务状态,多个以逗号分隔"),
        ("sort=name", "参数错误: sort 必须为 created, updated, size, task_id 之一,前面加 '-' 表示降序"),
        ("cursor=nothing", "参数错误: cursor 必须为上一页的 next_cursor,且 sort 不变"),
        ("cursor=" + OTHERS + "&sort=size", "参数错误: cursor 必须为上一页的 next_cursor,且 sort 不变"),
        ("cursor=" + NO_TIME, "参数错误: cursor 必须为上一页的 next_cursor,且 sort 不变"),
        ("cursor=" + OTHERS + "&offset=1", "参数错误: offset 不能与 cursor 同时给出"),
        ("directory_exists=1", "参数错误: directory_exists 必须为布尔值 true 或 false"),
        ("older_than=30", "参数错误: older_than 必须为带单位的时长,例如 7d、12h 或 1d12h"),
        ("q=", "参数错误: q 必须为1到500个可打印字符的单行文本"),
        ("user=a&user=b", "参数错误: user 必须为1到500个可打印字符的单行文本"),
    ],
)
async def test_wrong_values(api: Api, query: str, message: str) -> None:
    answer = await api.listing("?" + query)
    assert (answer.status, answer.body["error_code"], answer.body["message"]) == (400, "INVALID_PARAMETER", message)


async def test_english(api: Api) -> None:
    answer = await api.ask("GET", "/api/v0/data_pipeline/tasks?limit=x", headers={"Accept-Language": "en"})
    assert answer.body["message"] == "Invalid parameter: limit must be a whole number from 1 to 1000"
