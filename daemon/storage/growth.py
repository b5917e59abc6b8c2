"""How many child processes a pool should have: more than may be busy, while they wait and processors are idle.

A child that waits for the disk leaves its processor to another one. A child that waits for a lock of the file system
does so while somebody works for it, and more of them would only wait for each other: then no processor is idle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from daemon.storage.processors import idle_s

MOST: Final = 4
"""A pool grows to so many times the number of children that may be busy."""
# So long is looked at before any is added or taken away.
_WINDOW_S: Final = 0.25
_LOOK_EVERY_S: Final = 0.05
# More where fewer than this many run, of those that may be busy, and so many processors for each of them are idle. On a
# disk that discards what is freed at once, two of two processors: two children ran as 0.8 with 1.0 processor idle, four
# as 1.0 and 0.7, six as 1.3 and 0.4, and needed 0.79, 0.64 and 0.57 of `rm -rf`, eight 0.52. On ext4 in memory two ran
# as 0.9 with 0.06 idle and needed 0.70, four needed 0.78, eight 0.93.
_TOO_FEW: Final = 0.85
_IDLE: Final = 0.15
# One fewer where no processor has anything left for it, or more of them run than may.
_NONE_IDLE: Final = 0.05
_TOO_MANY: Final = 1.25
# To start a child takes some 50 ms of a processor: one goes only when there were too many for so long without a break.
_SURE_S: Final = 2.0


class Growth:
    """The number of children that ``wanted`` says, between ``processes`` and MOST times that. Thread-safe.

    ``idle``: seconds for which processors were idle, as ``idle_s`` has them.
    """

    def __init__(self, processes: int, idle: Callable[[], tuple[float, ...]] = idle_s) -> None:
        self.wanted = processes
        self._least = processes
        self._idle = idle
        self._lock = threading.Lock()
        self._at: tuple[float, tuple[float, ...]] | None = None
        self._span_s = self._idle_s = self._worked_s = self._ran_s = self._too_many_s = 0.0

    def begin(self) -> None:
        """From now on at least one child has something to do."""
        with self._lock:
            self._at = time.monotonic(), self._idle()

    def end(self) -> None:
        """From now on none has."""
        with self._lock:
            self._look()
            self._at = None

    def add(self, worked_s: float, ran_s: float) -> None:
        """A child had something to do for so long, and ran, or was kept from it by a rate, for so much of it."""
        with self._lock:
            self._worked_s += worked_s
            self._ran_s += ran_s
            if self._at is not None and time.monotonic() - self._at[0] >= _LOOK_EVERY_S:
                self._look()
            # The children tell now and then, and not all at once.
            if self._span_s >= _WINDOW_S and self._worked_s >= _WINDOW_S:
                running = self.wanted * self._ran_s / self._worked_s
                self._decide(self._span_s, running, self._idle_s / self._span_s)
                self._span_s = self._idle_s = self._worked_s = self._ran_s = 0.0

    def _look(self) -> None:
        if self._at is not None:
            now = time.monotonic(), self._idle()
            self._span_s += now[0] - self._at[0]
            # A quota may come and go; where the kernel knows of no bound the children alone decide.
            bounds = (after - before for before, after in zip(self._at[1], now[1], strict=False))
            self._idle_s += min(bounds, default=float("inf"))
            self._at = now

    def _decide(self, span_s: float, running: float, idle: float) -> None:
        """``running`` children, if all had something to do, and ``idle`` processors, on average over the time."""
        many = idle < _NONE_IDLE * self._least or running > _TOO_MANY * self._least
        self._too_many_s = self._too_many_s + span_s if many else 0.0
        if running < _TOO_FEW * self._least and idle > _IDLE * self._least:
            # As many as would leave no processor idle; a single window may be wrong by much, though.
            enough = round(self.wanted / max(0.5, 1 - idle / self._least))
            self.wanted = min(MOST * self._least, max(self.wanted + 1, enough))
        elif self._too_many_s >= _SURE_S:
            self._too_many_s = 0.0
            self.wanted = max(self._least, self.wanted - 1)

    def shrink(self) -> None:
        """There was nothing to do for a while: one fewer."""
        with self._lock:
            self.wanted = max(self._least, self.wanted - 1)
