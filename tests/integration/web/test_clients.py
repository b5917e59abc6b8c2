"""The clients of the contract, unchanged but for the port, and clients that go away."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
import requests

from daemon.deletion.models import Outcome, Request
from daemon.web.addresses import TASKS
from integration.web.installation import Api, Installation, serving
from support import curl

FIRST, SECOND = "task_20250702_173932", "task_20250702_174521"


def delete_task(base: str, task_id: str, delete_db_records: bool = False) -> Any:
    url = f"{base}/api/v0/data_pipeline/tasks/{task_id}"
    payload = {"confirm": True, "delete_database_records": delete_db_records}
    response = requests.delete(url, json=payload, timeout=10)
    return response.json()


def delete_tasks_batch(base: str, task_ids: list[str], delete_db_records: bool = False) -> Any:
    url = f"{base}/api/v0/data_pipeline/tasks"
    payload = {
        "task_ids": task_ids,
        "confirm": True,
        "delete_database_records": delete_db_records,
        "continue_on_error": True,
    }
    response = requests.delete(url, json=payload, timeout=10)
    return response.json()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_the_requests_client(api: Api, installation: Installation, host: str) -> None:
    installation.fifteen(FIRST)
    installation.task(SECOND, 10)
    base = f"http://{host}:{api.port}"
    one = await asyncio.to_thread(delete_task, base, FIRST)
    assert (one["message"], one["data"]["deleted_files_count"], one["data"]["deleted_size"]) == (
        "任务目录删除成功",
        15,
        "2.5 MB",
    )
    several = await asyncio.to_thread(delete_tasks_batch, base, [FIRST, SECOND], True)
    assert several["message"] == "批量删除完成"
    assert [entry["directory_deleted"] for entry in several["data"]["deleted_tasks"]] == [False, True]
    assert (installation.tree(), installation.rows()) == (set(), {})


async def test_the_curl_examples(api: Api, installation: Installation) -> None:
    installation.fifteen(FIRST)
    installation.task(SECOND, 10)
    url, header = f"http://localhost:{api.port}{TASKS}", "-H 'Content-Type: application/json'"
    body = '{ "confirm": true, "delete_database_records": false }'
    one = await asyncio.to_thread(curl.run, f"curl -X DELETE {url}/{FIRST} {header} -d '{body}'")
    assert one["data"]["deleted_size"] == "2.5 MB"
    batch = {"task_ids": [FIRST, SECOND], "confirm": True, "delete_database_records": False, "continue_on_error": True}
    several = await asyncio.to_thread(curl.run, f"curl -X DELETE {url} {header} -d '{json.dumps(batch)}'")
    assert several["data"]["summary"]["successfully_deleted"] == 2
    assert installation.tree() == set()
    listed = await asyncio.to_thread(curl.run, f"curl {url}")
    assert [task["directory_exists"] for task in listed["tasks"]] == [False, False]


@pytest.mark.parametrize(
    ("accepted", "message"),
    [
        ("en", "Task directory deleted"),
        ("en-US,en;q=0.9", "Task directory deleted"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "任务目录删除成功"),
        ("fr", "任务目录删除成功"),
    ],
)
async def test_the_language(api: Api, installation: Installation, accepted: str, message: str) -> None:
    installation.task(FIRST, 10)
    headers = {"Accept-Language": accepted}
    answer = await api.ask("DELETE", f"{TASKS}/{FIRST}", json={"confirm": True}, headers=headers)
    assert answer.body["message"] == message


@pytest.mark.parametrize("cancels", [False, True], ids=["handler-runs-on", "handler-cancelled"])
async def test_a_client_that_goes_away_stops_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, cancels: bool
) -> None:
    async with serving(installation, threads=1, handler_cancellation=cancels) as api:
        engine, delete = api.context.engine, api.context.engine.delete
        begun, gone, done = asyncio.Event(), threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(request: Request) -> Outcome:
            loop.call_soon_threadsafe(begun.set)
            assert gone.wait(5)
            try:
                return delete(request)
            finally:
                loop.call_soon_threadsafe(done.set)

        installation.task(FIRST, 10)
        installation.task(SECOND, 10)
        monkeypatch.setattr(engine, "delete", slow)
        asking = [asyncio.create_task(api.delete(FIRST))]
        await begun.wait()
        asking.append(asyncio.create_task(api.delete(SECOND)))  # waits for the worker
        await api.until('sweepd_waiting_deletions{lane="single"} 1.0')
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        await asyncio.sleep(0.1)
        gone.set()
        await asyncio.wait_for(done.wait(), 5)
        assert (await api.delete(SECOND)).body["data"]["directory_deleted"] is False
        assert installation.tree() == set()
        assert {row["directory_exists"] for row in installation.rows().values()} == {0}


async def test_a_shutdown_refuses_what_still_waits(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being deleted is finished; what waits for a worker is told to come back."""
    async with serving(installation, threads=1) as api:
        engine, delete = api.context.engine, api.context.engine.delete
        begun, release = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def slow(request: Request) -> Outcome:
            loop.call_soon_threadsafe(begun.set)
            assert release.wait(5)
            return delete(request)

        installation.task(FIRST, 10)
        installation.task(SECOND, 10)
        monkeypatch.setattr(engine, "delete", slow)
        first = asyncio.create_task(api.delete(FIRST))
        await begun.wait()
        second = asyncio.create_task(api.delete(SECOND))
        await api.until('sweepd_waiting_deletions{lane="single"} 1.0')
        closing = asyncio.create_task(api.runner.cleanup())
        await asyncio.sleep(0.1)
        release.set()
        assert (await first).status == 200
        refused = await second
        await closing
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert refused.bare == {
        "success": False,
        "code": 503,
        "message": "服务正在关闭,请稍后重试",
        "error_code": "SHUTTING_DOWN",
    }
    assert {path.partition("/")[0] for path in installation.tree()} == {SECOND}
    assert installation.rows()[SECOND]["directory_exists"] == 1
