"""The end of the daemon, and its bound: SIGTERM or SIGINT asks for it, and it comes, whatever hangs.

What a deletion has in hand is let finish for a while. Then the process ends where it stands, as if it had been killed:
everything it does can be cut off anywhere, and the next start settles it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Final

from daemon import clock, log

CUT_SHORT: Final = 12
"""The exit status of an end with work in hand, see ``docs/reference/exit-codes.md``."""
_log = log.get(__name__)
_LAST_LINES_S: Final = 1.0
_SIGNAL, _BEGIN = "signal", "begin"


class Ending:
    """Made on the event loop, in the main thread. ``asked`` is set by the first signal; the second ends it at once."""

    def __init__(self, grace_s: float) -> None:
        self.asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._grace_s = grace_s
        # A signal's handler runs between two instructions of the main thread: this is what may be called there.
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._bound, name="ending", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signal)

    def begin(self) -> None:
        """The time runs from now on, if it does not yet, until the process has ended."""
        self._told.put(_BEGIN)

    def _signal(self, _number: int, _frame: FrameType | None) -> None:
        self._told.put(_SIGNAL)

    def _bound(self) -> None:
        self._told.get()
        end = clock.monotonic() + self._grace_s
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self.asked.set)
        reason = f"not done after {self._grace_s:g} s (server.shutdown_timeout)"
        with suppress(queue.Empty):
            while self._told.get(timeout=max(0.0, end - clock.monotonic())) != _SIGNAL:
                pass
            reason = "told a second time"
        _log.warning("stopping_cut_short", reason=reason)
        log.drain(_LAST_LINES_S)
        os._exit(CUT_SHORT)
