"""Work that is cancelled while it waits for its turn, or while it runs, leaves the turn to the others."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemon.metrics.registry import Metrics
from daemon.web.lanes import Lane, Lanes


@pytest.mark.parametrize("cancelled", [(0,), (1,), (0, 1), (1, 0), (0, 1, 2), (2, 1, 0)])
async def test_cancelled_work_leaves_its_turn(cancelled: tuple[int, ...]) -> None:
    """One thread: the first runs and the others wait. All that are cancelled are so in one moment, as at the end."""
    go = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        lanes = Lanes(executor, 1, lambda: 10, Metrics())
        work = [asyncio.create_task(lanes.run(Lane.SINGLE, lambda: go.wait(20))) for _ in range(4)]
        await asyncio.sleep(0)
        for number in cancelled:
            work[number].cancel()
        await asyncio.sleep(0.01)
        go.set()
        ended = await asyncio.gather(*work, return_exceptions=True)
        for number, outcome in enumerate(ended):
            assert isinstance(outcome, asyncio.CancelledError) if number in cancelled else outcome is True
        assert await lanes.run(Lane.SINGLE, lambda: "next") == "next"
