"""Blocking work on threads, off the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from daemon.web.errors import ApiCode, ApiError
from daemon.web.lanes import Lane, Lanes

_T = TypeVar("_T")


class Workers:
    """The two pools of one server. ``stopping`` is set when the server begins to shut down."""

    def __init__(self, lanes: Lanes, reads: Executor) -> None:
        self._lanes = lanes
        self._reads = reads
        self._tasks: set[asyncio.Future[Any]] = set()
        self.stopping = threading.Event()

    async def read(self, function: Callable[[], _T]) -> _T:
        """Run something short that deletes nothing. Raises what it raises, and ApiError (SHUTTING_DOWN)."""
        context = contextvars.copy_context()  # the thread's log lines carry the request id
        try:
            future = asyncio.get_running_loop().run_in_executor(self._reads, lambda: context.run(function))
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
