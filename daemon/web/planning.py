"""Plans, which look at every task: one after the other, so that no reader keeps others from working."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from aiohttp import web

from daemon.catalog.interruption import Interruption
from daemon.web.caller import caller
from daemon.web.errors import ApiCode, ApiError

MOST_WAITING: Final = 16
MOST_OF_ONE: Final = 8
"""So many of them one caller's, the one at work included."""
_LOOK_S: Final = 0.2

_T = TypeVar("_T")


class Planning:
    """Used on the event loop only. Callers take turns; whose client has left waits no more, and is interrupted."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._turn = asyncio.Semaphore(1)
        self._turns: dict[str, asyncio.Semaphore] = {}  # of one caller, one at a time waits for the turn of all
        self._of: Counter[str] = Counter()

    async def run(self, request: web.Request, function: Callable[[Interruption], _T]) -> _T:
        """Run it when it is its turn. Raises what it raises, and ApiError (TOO_MANY_REQUESTS, SHUTTING_DOWN)."""
        owner = caller(request).initiator
        if self._of.total() > MOST_WAITING or self._of[owner] >= MOST_OF_ONE:
            raise ApiError(ApiCode.TOO_MANY_REQUESTS)
        self._of[owner] += 1
        interruption = Interruption()
        work = asyncio.ensure_future(self._in_turn(owner, interruption, function))
        work.add_done_callback(lambda _done: self._leave(owner))
        try:
            while not (await asyncio.wait({work}, timeout=_LOOK_S))[0]:
                if request.transport is None or request.transport.is_closing():
                    raise asyncio.CancelledError
            return work.result()
        finally:
            if not work.done():  # nobody waits for it
                work.cancel()
                await asyncio.to_thread(interruption.interrupt)

    def close(self) -> None:
        """Begin nothing further."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, owner: str, interruption: Interruption, function: Callable[[Interruption], _T]) -> _T:
        async with self._turns.setdefault(owner, asyncio.Semaphore(1)), self._turn:
            context = contextvars.copy_context()  # the thread's log lines carry the request id
            try:
                future = asyncio.get_running_loop().run_in_executor(
                    self._executor, lambda: context.run(function, interruption)
                )
            except RuntimeError:  # the pool is closed
                raise ApiError(ApiCode.SHUTTING_DOWN) from None
            return await future

    def _leave(self, owner: str) -> None:
        self._of[owner] -= 1
        if not self._of[owner]:
            del self._of[owner], self._turns[owner]
