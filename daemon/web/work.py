"""Blocking work on threads, off the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from daemon.web.errors import ApiCode, ApiError
from daemon.web.lanes import Lane, Lanes
from daemon.web.planning import Planning

_T = TypeVar("_T")


_WRITE_THREADS: Final = 2


class Workers:
    """The pools of one server: deletions, reads, short changes, and plans. ``stopping`` is set when it shuts down."""

    def __init__(self, lanes: Lanes, reads: Executor) -> None:
        self._lanes = lanes
        self._reads = reads
        self._tasks: set[asyncio.Future[Any]] = set()
        self._writes = ThreadPoolExecutor(_WRITE_THREADS, thread_name_prefix="write")
        self.planning = Planning()
        self.stopping = threading.Event()

    def close(self) -> None:
        """Begin nothing further."""
        self._writes.shutdown(wait=False)
        self.planning.close()

    async def read(self, function: Callable[[], _T]) -> _T:
        """Run something that changes nothing. Raises what it raises, and ApiError (SHUTTING_DOWN)."""
        return await self._run(self._reads, function)

    async def write(self, function: Callable[[], _T]) -> _T:
        """Run a short change that deletes nothing: no reader is before it. Raises as ``read`` does."""
        return await self._run(self._writes, function)

    async def _run(self, pool: Executor, function: Callable[[], _T]) -> _T:
        context = contextvars.copy_context()  # the thread's log lines carry the request id
        try:
            future = asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(function))
        except RuntimeError:  # the pool is closed
            raise ApiError(ApiCode.SHUTTING_DOWN) from None
        return await asyncio.shield(future)

    async def delete(self, function: Callable[[], _T], lane: Lane = Lane.SINGLE, *, further: bool = False) -> _T:
        """Run deletions. A client that goes away does not stop them; a shutdown stops what is still waiting.

        ``further``: the next group of what has begun. Raises what ``function`` raises, ApiError (SHUTTING_DOWN) if it
        did not begin, and ApiError (TOO_MANY_REQUESTS).
        """

        def begin() -> _T:
            if self.stopping.is_set():
                raise ApiError(ApiCode.SHUTTING_DOWN)
            return function()

        return await self.to_the_end(self._lanes.run(lane, begin, further=further))

    async def to_the_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await something that goes on even if the client goes away meanwhile."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself keeps no reference
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)
