"""What makes the daemon reload by itself: SIGHUP, and, if the configuration wants it, a change of its files."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from daemon import clock, hangup, log, systemd
from daemon.app.reloading import Reloader
from daemon.app.settings import Current

_log = log.get(__name__)
_LOOK_S: Final = 2.0


class ReloadSignals:
    """Signals that come while a reload runs become one further reload."""

    def __init__(self, reloader: Reloader, current: Current) -> None:
        self._reloader = reloader
        self._current = current
        self._asked = asyncio.Event()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """React until the end of the block."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        if hangup.came():  # perhaps after the files were read
            self._asked.set()
        tasks = [asyncio.create_task(self._serve()), asyncio.create_task(self._watch())]
        try:
            yield
        finally:
            # From now on a signal is nobody's: removing the handler would bring back the default, which kills.
            loop.add_signal_handler(signal.SIGHUP, lambda: None)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            # sd_notify(3): with Type=notify, systemd takes the daemon for reloading until it is ready again
            systemd.notify("RELOADING=1", f"MONOTONIC_USEC={clock.monotonic_us()}")
            await self._reload("SIGHUP")
            systemd.notify("READY=1")

    async def _watch(self) -> None:
        seen = await asyncio.to_thread(_signature, self._current)
        last = seen
        while True:
            await asyncio.sleep(_LOOK_S)
            found = await asyncio.to_thread(_signature, self._current)
            settled, last = found == last, found  # an editor may be in the middle of it
            if found == seen or not settled:
                continue
            seen = found
            if self._current.config.reload.on_change:
                await self._reload("change")

    async def _reload(self, trigger: str) -> None:
        with contextlib.suppress(Exception):  # it is logged, a bug too, and counted
            await asyncio.to_thread(self._reloader.reload, trigger)


def _signature(current: Current) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when one of the files does."""
    config = current.config
    found = []
    for path in (config.file, *_yaml_files(config.policies)):
        with contextlib.suppress(OSError):
            stat = path.stat()
            found.append((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _yaml_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError:
        return []
