"""Holds by HTTP: placed, listed, released, and obeyed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon.catalog import holds
from daemon.web.addresses import HOLDS, TASKS
from daemon.web.hints import HINTS
from integration.web.installation import NO_DATABASE, Answer, Api, Installation, serving

TASK, OTHER = "task_20250702_173932", "task_20250702_174521"
ENGLISH = {"Accept-Language": "en"}


async def place(api: Api, **body: Any) -> Answer:
    return await api.ask("POST", HOLDS, json={"reason": "an audit", **body})


async def test_placed_listed_obeyed_and_released(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await place(api, task_id=TASK, owner="alice", **{"for": "30d"})
    assert (answer.status, answer.body["message"]) == (201, "保留成功")
    hold = answer.body["data"]
    placed, until = (datetime.fromisoformat(hold[name]) for name in ("placed_at", "until"))
    assert until - placed == timedelta(days=30)
    assert {name: hold[name] for name in hold if name not in ("hold_id", "placed_at", "until")} == {
        "pattern": TASK,
        "owner": "alice",
        "reason": "an audit",
        "in_force": True,
        "released_at": None,
        "released_by": None,
        "tasks": 1,
        "directories_gone": 0,
        "in_trash": 0,
    }
    listed = (await api.ask("GET", HOLDS)).body
    assert listed["message"] == "获取保留列表成功"
    assert listed["data"] == {
        "holds": [{name: hold[name] for name in hold if name not in ("tasks", "directories_gone", "in_trash")}],
        "total": 1,
    }

    refused = await api.delete(TASK, force=True)
    assert (refused.status, refused.bare) == (
        409,
        {
            "success": False,
            "code": 409,
            "message": "任务被保留,不能删除: 保留人 alice,原因: an audit",
            "error_code": "TASK_HELD",
            "data": {
                "task_id": TASK,
                "hold_id": hold["hold_id"],
                "owner": "alice",
                "reason": "an audit",
                "until": hold["until"],
            },
        },
    )
    english = await api.ask("DELETE", f"{TASKS}/{TASK}", json={"confirm": True}, headers=ENGLISH)
    assert english.body["message"] == "The task is held and cannot be deleted: by alice, because: an audit"
    assert installation.everything() == before

    released = await api.ask("DELETE", f"{HOLDS}/{hold['hold_id']}")
    assert (released.status, released.body["message"]) == (200, "保留已解除")
    assert released.body["data"]["released_by"] == "api:127.0.0.1"
    assert released.body["data"]["in_force"] is False
    assert (await api.ask("GET", HOLDS)).body["data"] == {"holds": [], "total": 0}
    assert (await api.ask("GET", f"{HOLDS}?all=true")).body["data"]["holds"] == [released.body["data"]]
    assert (await api.delete(TASK)).status == 200


async def test_a_batch_says_whose_hold_it_is(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    installation.task(OTHER, 10)
    hold = (await place(api, pattern="*_17393?")).body["data"]
    data = (await api.batch(TASK, OTHER, headers=ENGLISH)).body["data"]
    assert [entry["task_id"] for entry in data["deleted_tasks"]] == [OTHER]
    assert data["failed_tasks"] == [
        {
            "task_id": TASK,
            "error": "The task is held and cannot be deleted: by api:127.0.0.1, because: an audit",
            "error_code": "TASK_HELD",
            "hint": HINTS["TASK_HELD"].en.replace("{{hold_id}}", hold["hold_id"]),
            "details": {
                "task_id": TASK,
                "hold_id": hold["hold_id"],
                "owner": "api:127.0.0.1",
                "reason": "an audit",
                "until": None,
            },
        }
    ]
    assert installation.rows()[TASK]["directory_exists"] == 1


async def test_what_it_covers_is_said_in_both_languages(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    await api.delete(TASK)
    said = []
    for task_id in (TASK, "task_unknown"):
        for headers in ({}, ENGLISH):
            answer = await api.ask("POST", HOLDS, json={"reason": "r", "task_id": task_id}, headers=headers)
            assert answer.status == 201
            said.append(answer.body["message"])
    assert said == [
        "保留成功,但匹配的任务目录均已删除",
        "Hold placed, but the directories of all matching tasks are gone already",
        "保留成功,但目前没有匹配的任务",
        "Hold placed, but no task matches now",
    ]


PATTERN = "参数错误: pattern 必须为任务ID或由任务ID字符与 '*'、'?' 组成的模式"
DATE = "参数错误: until 必须为日期,例如 2026-12-31 或 2026-12-31T18:00:00+08:00"
LINE = "必须为1到500个可打印字符的单行文本"
DURATION = "参数错误: for 必须为带单位的时长,例如 7d、12h 或 1d12h"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"task_id": TASK}, "MISSING_PARAMETER", "缺少必需参数: reason"),
        ({"reason": "r"}, "MISSING_PARAMETER", "缺少必需参数: task_id"),
        ({"task_id": TASK, "reason": " "}, "INVALID_PARAMETER", f"参数错误: reason {LINE}"),
        ({"task_id": TASK, "reason": "a\nb"}, "INVALID_PARAMETER", f"参数错误: reason {LINE}"),
        ({"task_id": TASK, "reason": "r" * 501}, "INVALID_PARAMETER", f"参数错误: reason {LINE}"),
        ({"task_id": TASK, "reason": "r", "owner": ""}, "INVALID_PARAMETER", f"参数错误: owner {LINE}"),
        ({"task_id": "a/b", "reason": "r"}, "INVALID_TASK_ID", None),
        ({"task_id": "task_*", "reason": "r"}, "INVALID_TASK_ID", None),
        ({"task_id": 7, "reason": "r"}, "INVALID_PARAMETER", "参数错误: task_id 必须为字符串"),
        ({"pattern": "../*", "reason": "r"}, "INVALID_PARAMETER", PATTERN),
        ({"pattern": ".*", "reason": "r"}, "INVALID_PARAMETER", PATTERN),
        ({"pattern": "[a]*", "reason": "r"}, "INVALID_PARAMETER", PATTERN),
        ({"pattern": "", "reason": "r"}, "INVALID_PARAMETER", PATTERN),
        ({"pattern": "a" * 129, "reason": "r"}, "INVALID_PARAMETER", PATTERN),
        *(
            (
                {"pattern": pattern, "reason": "r"},
                "INVALID_PARAMETER",
                "参数错误: pattern 匹配所有任务,须同时给出 all_tasks: true",
            )
            for pattern in ("*", "?*", "**")
        ),
        (
            {"pattern": "a*", "task_id": TASK, "reason": "r"},
            "INVALID_PARAMETER",
            "参数错误: pattern 不能与 task_id 同时给出",
        ),
        (
            {"task_id": TASK, "reason": "r", "until": "2099-01-01", "for": "1d"},
            "INVALID_PARAMETER",
            "参数错误: for 不能与 until 同时给出",
        ),
        ({"task_id": TASK, "reason": "r", "until": "soon"}, "INVALID_PARAMETER", DATE),
        ({"task_id": TASK, "reason": "r", "until": "2026-02-30"}, "INVALID_PARAMETER", DATE),
        ({"task_id": TASK, "reason": "r", "until": 7}, "INVALID_PARAMETER", DATE),
        ({"task_id": TASK, "reason": "r", "for": "30"}, "INVALID_PARAMETER", DURATION),
        ({"task_id": TASK, "reason": "r", "lasting": "1d"}, "UNKNOWN_PARAMETER", "未知参数: lasting"),
        ({"task_id": TASK, "reason": "r", "force": True}, "UNKNOWN_PARAMETER", "未知参数: force"),
        ({"task_id": TASK, "reason": "r", "until": "2020-01-01"}, "INVALID_HOLD", "保留的到期时间须在将来"),
        (
            {"pattern": "*", "reason": "r", "all_tasks": 1},
            "INVALID_PARAMETER",
            "参数错误: all_tasks 必须为布尔值 true 或 false",
        ),
    ],
    ids=str,
)
async def test_a_wrong_hold_is_refused_and_nothing_is_held(
    api: Api, body: dict[str, Any], code: str, message: str | None
) -> None:
    answer = await api.ask("POST", HOLDS, json=body)
    assert (answer.status, answer.body["error_code"]) == (400, code)
    if message is not None:
        assert answer.body["message"] == message
    assert (await api.ask("GET", f"{HOLDS}?all=true")).body["data"]["total"] == 0


async def test_every_task_is_held_if_that_is_said_in_words(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    assert (await place(api, pattern="*", all_tasks=True)).body["data"]["tasks"] == 1
    assert (await api.delete(TASK)).status == 409


@pytest.mark.parametrize(
    ("until", "moment"),
    [
        ("2099-12-31T18:00:00+08:00", "2099-12-31T10:00:00+00:00"),
        ("2099-12-31T18:00:00Z", "2099-12-31T18:00:00+00:00"),
        ("2099-12-31", None),
    ],
)
async def test_a_date_alone_means_to_the_end_of_that_day_here(api: Api, until: str, moment: str | None) -> None:
    answer = await place(api, task_id=TASK, until=until)
    here = datetime(2100, 1, 1).astimezone(UTC).isoformat(timespec="seconds")  # the local zone
    assert answer.body["data"]["until"] == (moment or here)


async def test_a_hold_that_is_not_there_cannot_be_released(api: Api) -> None:
    hold_id = (await place(api, task_id=TASK)).body["data"]["hold_id"]
    assert (await api.ask("DELETE", f"{HOLDS}/{hold_id}", json={"force": True})).body["error_code"] == (
        "UNKNOWN_PARAMETER"
    )
    assert (await api.ask("DELETE", f"{HOLDS}/{hold_id}")).status == 200
    for name in (hold_id, "f" * 28, "x", "task_*"):
        answer = await api.ask("DELETE", f"{HOLDS}/{name}", headers=ENGLISH)
        assert (answer.status, answer.body["error_code"]) == (404, "HOLD_NOT_FOUND")
        assert answer.body["message"] == "There is no such hold, or it has been released already"
    again = await api.ask("DELETE", f"{HOLDS}/{hold_id}")
    assert again.body["message"] == "保留记录不存在或已解除"
    assert "has been released already at" in again.body["data"]["reason"]


async def test_a_list_takes_true_or_false(api: Api) -> None:
    answer = await api.ask("GET", f"{HOLDS}?all=maybe")
    assert (answer.status, answer.body["message"]) == (400, "参数错误: all 必须为布尔值 true 或 false")


async def test_a_failed_look_up_counts_as_held_and_says_so(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.task(TASK, 10)
    before = installation.everything()

    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("nonsense")

    monkeypatch.setattr(holds, "active", fail)
    answer = await api.delete(TASK, force=True)
    assert (answer.status, answer.body["error_code"]) == (409, "TASK_HELD")
    assert answer.body["message"] == "任务被保留,不能删除: 无法查询保留记录"
    assert answer.body["data"]["reason"].startswith("the holds could not be looked up (nonsense)")
    assert installation.everything() == before


async def test_without_a_database_nothing_is_placed(installation: Installation) -> None:
    async with serving(installation, url=NO_DATABASE) as api:
        assert (await place(api, task_id=TASK)).body["error_code"] == "CATALOG_UNAVAILABLE"


async def test_what_happens_to_holds_is_in_the_log(api: Api, events: list[Any]) -> None:
    hold = (await place(api, pattern="task_*", owner="alice")).body["data"]
    await api.ask("DELETE", f"{HOLDS}/{hold['hold_id']}")
    found = [event for event in events if event["event"].startswith("hold_")]
    assert [event["event"] for event in found] == ["hold_placed", "hold_released"]
    assert {(event["hold_id"], event["pattern"], event["owner"], event["initiator"]) for event in found} == {
        (hold["hold_id"], "task_*", "alice", "api:127.0.0.1")
    }
    assert (found[0]["reason"], found[0]["until"], found[0]["tasks"]) == ("an audit", None, 0)
    assert all(len(event["request_id"]) == 32 for event in found)
