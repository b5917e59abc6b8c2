"""Whose turn it is: batches and jobs leave single deletions a thread, and what is too much is told to come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from daemon.config import ServerConfig
from daemon.deletion.models import Outcome, Request
from daemon.errors import SweepdError
from integration.web.installation import Installation, serving

FIRST = "task_20250702_173932"


class Slow:
    """Groups that last until they are let go; ``most`` ran at the same time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()

    def delete_group(self, requests: Sequence[Request]) -> list[Outcome | SweepdError]:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.go.wait(20)
        with self._lock:
            self.running -= 1
        return [SweepdError("gone")] * len(requests)


@pytest.mark.parametrize(("threads", "batches", "jobs"), [(4, 3, 2), (2, 1, 1), (1, 1, 1)])
async def test_many_batches_leave_a_thread_to_single_deletions(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, threads: int, batches: int, jobs: int
) -> None:
    installation.task(FIRST, 10)
    for waits, most in ((True, batches), (False, jobs)):
        async with serving(installation, threads=threads) as api:
            slow = Slow()
            monkeypatch.setattr(api.context.engine, "delete_group", slow.delete_group)
            body: dict[str, Any] = {"async": not waits}
            asking = [asyncio.create_task(api.batch("task_1", "task_2", **body)) for _ in range(6)]
            while slow.running < most:
                await asyncio.sleep(0.01)
            assert (await api.listing()).status == 200
            if threads > 1:
                assert (await asyncio.wait_for(api.delete(FIRST), 10)).status == 200
            slow.go.set()
            await asyncio.gather(*asking)
            assert slow.most == most


async def test_a_single_deletion_has_its_turn_between_the_groups_of_a_batch_on_one_thread(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.task(FIRST, 10)
    monkeypatch.setattr("daemon.jobs.batch.GROUP", 1)
    async with serving(installation, threads=1) as api:
        begun, go, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()
        order: list[str] = []
        single = api.context.engine.delete

        def group(requests: Sequence[Request]) -> list[Outcome | SweepdError]:
            order.append(requests[0].task_id)
            loop.call_soon_threadsafe(begun.set)
            assert go.wait(20)
            return [SweepdError("gone")]

        def one(request: Request) -> Outcome:
            order.append(request.task_id)
            return single(request)

        monkeypatch.setattr(api.context.engine, "delete_group", group)
        monkeypatch.setattr(api.context.engine, "delete", one)
        batch = asyncio.create_task(api.batch("task_1", "task_2", "task_3"))
        await begun.wait()
        deleting = asyncio.create_task(api.delete(FIRST))
        await api.until('sweepd_waiting_deletions{lane="single"} 1.0')
        go.set()
        assert (await deleting).status == 200
        await batch
    assert order == ["task_1", FIRST, "task_2", "task_3"]


async def test_what_is_too_much_is_told_to_come_back(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(installation, server=ServerConfig(max_waiting=2), threads=1) as api:
        slow = Slow()
        monkeypatch.setattr(api.context.engine, "delete_group", slow.delete_group)
        asking = [asyncio.create_task(api.batch(f"task_{number}")) for number in range(3)]
        await api.until('sweepd_waiting_deletions{lane="batch"} 2.0')
        for refused in (await api.batch("task_9"), await api.delete("task_9")):
            assert (refused.status, refused.body["error_code"]) == (429, "TOO_MANY_REQUESTS")
            assert refused.headers["Retry-After"] == "5"
            assert refused.body["message"] == "等待处理的删除过多,请稍后重试"
        assert (await api.listing()).status == 200
        slow.go.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * 3
