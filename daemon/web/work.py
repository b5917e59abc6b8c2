"""Blocking work on threads, off the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from daemon.web.errors import ApiCode, ApiError

_T = TypeVar("_T")


class Workers:
    """The two pools of one server. ``stopping`` is set when the server begins to shut down."""

    def __init__(self, deletions: Executor, reads: Executor) -> None:
        self._deletions = deletions
        self._reads = reads
        self.stopping = threading.Event()

    async def read(self, function: Callable[[], _T]) -> _T:
        """Run something short that deletes nothing. Raises what it raises, and ApiError (SHUTTING_DOWN)."""
        return await _run(self._reads, function)

    async def delete(self, function: Callable[[], _T]) -> _T:
        """Run deletions. A client that goes away does not stop them; a shutdown stops what is still waiting.

        Raises what ``function`` raises, and ApiError (SHUTTING_DOWN) if it did not begin.
        """

        def begin() -> _T:
            if self.stopping.is_set():
                raise ApiError(ApiCode.SHUTTING_DOWN)
            return function()

        return await _run(self._deletions, begin)


async def _run(executor: Executor, function: Callable[[], _T]) -> _T:
    context = contextvars.copy_context()  # the thread's log lines carry the request id
    try:
        future = asyncio.get_running_loop().run_in_executor(executor, lambda: context.run(function))
    except RuntimeError:  # the pool is closed
        raise ApiError(ApiCode.SHUTTING_DOWN) from None
    return await asyncio.shield(future)
