"""How many child processes a pool should have: more than may be busy at a time, while they mostly wait for the disk."""

from __future__ import annotations

import threading
from typing import Final

MOST: Final = 4
"""A pool grows to so many times the number of children that may be busy."""
# So much time of work, of all children together, is looked at before one is added or taken away.
_WINDOW_S: Final = 0.25
# More where they come to less than this many of those that may be busy, one fewer where they come to more. On a disk
# that discards what is freed at once, two children came to 0.36 of the two that may be busy, four to 0.75, six to 0.95:
# two needed 0.88 of `rm -rf`, four 0.72, six 0.65; eight came to 1.6 and were no faster.
_TOO_FEW: Final = 0.85
_TOO_MANY: Final = 1.4
# To start a child takes some 50 ms of a processor: one goes only when there were too many for so long without a break.
_SURE_S: Final = 2.0


class Growth:
    """The number of children that ``wanted`` says, between ``processes`` and MOST times that. Thread-safe."""

    def __init__(self, processes: int) -> None:
        self.wanted = processes
        self._least = processes
        self._lock = threading.Lock()
        self._worked_s = self._busy_s = self._too_many_s = 0.0

    def add(self, worked_s: float, busy_s: float) -> None:
        """A child worked for so long, and did not wait for the disk for so much of it."""
        with self._lock:
            self._worked_s += worked_s
            self._busy_s += busy_s
            if self._worked_s < _WINDOW_S:
                return
            busy = self.wanted * self._busy_s / self._worked_s
            self._too_many_s = self._too_many_s + self._worked_s if busy > _TOO_MANY * self._least else 0.0
            self._worked_s = self._busy_s = 0.0
            if busy < _TOO_FEW * self._least:
                # As many as would be, if more of them wait as long; a single window may be wrong by much, though.
                enough = round(self.wanted * self._least / max(busy, 0.1))
                self.wanted = min(MOST * self._least, 2 * self.wanted, max(self.wanted + 1, enough))
            elif self._too_many_s >= _SURE_S:
                self._too_many_s = 0.0
                self.wanted = max(self._least, self.wanted - 1)

    def shrink(self) -> None:
        """There was nothing to do for a while: one fewer."""
        with self._lock:
            self.wanted = max(self._least, self.wanted - 1)
