"""Whose turn it is on the threads that delete: single deletions, batches and jobs, none of which starves another."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from enum import StrEnum
from typing import TypeVar

from daemon.metrics.registry import Metrics
from daemon.web.errors import ApiCode, ApiError

_T = TypeVar("_T")


class Lane(StrEnum):
    """What kind of work it is."""

    SINGLE = "single"
    BATCH = "batch"
    JOB = "job"


class Lanes:
    """Used on the event loop only. Work of several groups comes back for each of them, and so waits for its turn again.

    With more than one thread, batches and jobs together leave one to single deletions, and jobs take half of them.
    """

    def __init__(self, executor: Executor, threads: int, most_waiting: Callable[[], int], metrics: Metrics) -> None:
        self._executor = executor
        self._threads = threads
        self._most_waiting = most_waiting
        self._metrics = metrics
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._running = dict.fromkeys(Lane, 0)
        self._turns = list(Lane)  # who was served longest ago comes first

    async def run(self, lane: Lane, function: Callable[[], _T], *, further: bool = False) -> _T:
        """Run it on a thread when it is its turn. ``further``: it is the next group of what has begun.

        Raises what ``function`` raises, and ApiError: TOO_MANY_REQUESTS if too much waits already, SHUTTING_DOWN.
        """
        if not further and lane is not Lane.JOB:
            waiting = len(self._waiting[Lane.SINGLE]) + len(self._waiting[Lane.BATCH])
            if waiting >= self._most_waiting():
                raise ApiError(ApiCode.TOO_MANY_REQUESTS)
        turn = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        self._dispatch()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(lane)
            elif turn in self._waiting[lane]:
                self._waiting[lane].remove(turn)
                self._tell()
            raise
        context = contextvars.copy_context()  # the thread's log lines carry the request id
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, lambda: context.run(function))
        except RuntimeError:  # the pool is closed
            self._leave(lane)
            raise ApiError(ApiCode.SHUTTING_DOWN) from None
        try:
            return await future
        finally:
            self._leave(lane)

    def _leave(self, lane: Lane) -> None:
        self._running[lane] -= 1
        self._dispatch()

    def _dispatch(self) -> None:
        while (lane := next((lane for lane in self._turns if self._may_go(lane)), None)) is not None:
            turn = self._waiting[lane].popleft()
            if turn.cancelled():  # in this moment: who waited for it has not run since
                continue
            turn.set_result(None)
            self._running[lane] += 1
            self._turns.remove(lane)
            self._turns.append(lane)
        self._tell()

    def _may_go(self, lane: Lane) -> bool:
        running = self._running
        if not self._waiting[lane] or sum(running.values()) >= self._threads:
            return False
        if lane is Lane.SINGLE:
            return True
        if running[Lane.BATCH] + running[Lane.JOB] >= max(1, self._threads - 1):
            return False
        return lane is Lane.BATCH or running[Lane.JOB] < max(1, self._threads // 2)

    def _tell(self) -> None:
        for lane, waiting in self._waiting.items():
            self._metrics.jobs.waiting(lane, len(waiting))
