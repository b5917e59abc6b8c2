"""Keeps a removal below a rate, for disks that others use too."""

from __future__ import annotations

import threading
import time
from typing import Final

from daemon import clock

STEP: Final = 64
"""Files after which ``pause`` is asked."""


class Pace:
    """So many files a second at most; None is no limit. Thread-safe: its users share the rate."""

    def __init__(self, files_per_second: float | None) -> None:
        self.files_per_second = files_per_second
        self._lock = threading.Lock()
        self._next = 0.0

    def pause(self, files: int) -> None:
        """Wait until ``files`` more are due."""
        if self.files_per_second is None:
            return
        with self._lock:
            now = clock.monotonic()
            self._next = max(self._next, now) + files / self.files_per_second
            wait = self._next - now
        if wait > 0:
            time.sleep(wait)


UNLIMITED: Final = Pace(None)
