"""Feeds systemd's watchdog while the daemon is alive: from the event loop, so that a loop that hangs starves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from daemon import log, systemd

_log = log.get(__name__)
# Three chances before it is over; without a watchdog the looks still end child processes that stand still.
_CHANCES: Final = 3
_LOOK_EVERY_S: Final = 5.0


@contextlib.asynccontextmanager
async def watched(look: Callable[[], list[str]], count: Callable[[int], None]) -> AsyncIterator[None]:
    """Look for the time of the block, and tell systemd as long as nothing is wrong: ``look`` says what is.

    ``count`` is told after each look how much that is.
    """
    limit = systemd.watchdog_s()
    every = _LOOK_EVERY_S if limit is None else min(_LOOK_EVERY_S, limit / _CHANCES)
    task = asyncio.create_task(_feed(look, count, every))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _feed(look: Callable[[], list[str]], count: Callable[[int], None], every_s: float) -> None:
    known: list[str] = []
    while True:
        problems = look()
        count(len(problems))
        if not problems:
            systemd.notify("WATCHDOG=1")
        if bool(problems) != bool(known):
            if problems:
                _log.error("watchdog_starved", problems=problems)
            else:
                _log.info("watchdog_fed_again")
        known = problems
        await asyncio.sleep(every_s)
