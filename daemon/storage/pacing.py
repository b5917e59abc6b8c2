"""Keeps a removal below a rate, for disks that others use too."""

from __future__ import annotations

import fcntl
import struct
import threading
import time
from mmap import mmap
from typing import Final

from daemon import clock

_MOST: Final = 64
_INSTANT: Final = struct.Struct("d")
_OFFSET: Final = 64  # in the shared page; its first byte says how many workers are idle


class Pace:
    """So many files a second at most; None is no limit. Thread-safe: all users share the rate.

    With ``shared``, a page and the descriptor of its file, the users of other processes do too.
    """

    def __init__(self, files_per_second: float | None, shared: tuple[mmap, int] | None = None) -> None:
        self.files_per_second = files_per_second
        # Files after which ``pause`` is to be asked: often enough for slow rates to be even.
        self.step = _MOST if files_per_second is None else int(min(_MOST, max(1, files_per_second / 10)))
        self._shared = shared
        self._lock = threading.Lock()
        self._next = 0.0
        self.slept_s = 0.0
        """How long this process has waited for it, all in all."""

    def pause(self, files: int) -> None:
        """Wait until ``files`` more are due."""
        if self.files_per_second is None:
            return
        with self._lock:
            now = clock.monotonic()
            due = self._book(now, files / self.files_per_second)
        if due > now:
            time.sleep(due - now)
            self.slept_s += due - now  # exact with one thread, as in a child process

    def _book(self, now: float, seconds: float) -> float:
        if self._shared is None:
            self._next = max(self._next, now) + seconds
            return self._next
        page, fd = self._shared
        fcntl.lockf(fd, fcntl.LOCK_EX)
        try:
            due = max(float(_INSTANT.unpack_from(page, _OFFSET)[0]), now) + seconds
            _INSTANT.pack_into(page, _OFFSET, due)
            return due
        finally:
            fcntl.lockf(fd, fcntl.LOCK_UN)


UNLIMITED: Final = Pace(None)
