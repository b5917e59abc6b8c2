"""Standard error that nobody may read: a pipe that is full or gone blocks no thread and ends no deletion.

A line is written at once if that cannot block. Else it waits in memory for a thread that writes it when it can; what
does not fit, or what nobody can read any more, is dropped and counted.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from daemon import clock

MOST_WAITING: Final = 1 << 20
"""Bytes that wait at most: some thousand lines."""
# POSIX: a pipe that polls as writable takes so much without blocking (PIPE_BUF on Linux).
_AT_ONCE: Final = 4096
_LOOK_S: Final = 0.5


class PatientStream:
    """A text stream over a descriptor. ``dropped`` is called for each lost line, ``resumed`` with their number.

    The latter when lines get through again.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._lock = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._torn = False
        self._thread: threading.Thread | None = None
        self.dropped: Callable[[], None] = lambda: None
        self.resumed: Callable[[int], None] = lambda _lines: None

    def write(self, text: str) -> int:
        """Write, or keep for later, or drop; never blocks, never raises."""
        line = text.encode("utf-8", "backslashreplace")
        resumed = 0
        with self._lock:
            before = self._lost
            rest = line if self._waiting else self._send(line)
            if rest:
                self._keep(rest, torn=len(rest) < len(line))
            elif self._lost == before:
                resumed, self._lost = self._lost, 0
        if resumed:
            self.resumed(resumed)
        return len(text)

    def flush(self) -> None:
        """Nothing: whatever can be written has been."""

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def drain(self, seconds: float) -> None:
        """Wait until nothing waits, at most so long."""
        end = clock.monotonic() + seconds
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting, max(0.0, end - clock.monotonic()))

    def _send(self, line: bytes) -> bytes:
        """Write what can be written now; the rest. A line that cannot be written at all is lost, and leaves none."""
        if self._torn:
            line, self._torn = b"\n" + line, False
        whole = len(line)
        while line and self._poll.poll(0):
            try:
                line = line[os.write(self._fd, line[:_AT_ONCE]) :]
            except BlockingIOError:
                return line
            except OSError:  # the reader is gone, the descriptor closed, the disk full
                self._lose(torn=len(line) < whole)
                return b""
        return line

    def _keep(self, line: bytes, *, torn: bool) -> None:
        if self._size + len(line) > MOST_WAITING:
            self._lose(torn=torn)
            return
        self._waiting.append(line)
        self._size += len(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="log", daemon=True)
            self._thread.start()
        self._lock.notify_all()

    def _lose(self, *, torn: bool) -> None:
        """``torn``: its beginning was written, so the next line begins on one of its own."""
        self._torn = self._torn or torn
        self._lost += 1
        self.dropped()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting)
            self._poll_patiently()
            resumed = 0
            with self._lock:
                line = self._waiting.popleft()
                self._size -= len(line)
                lost = self._lost
                rest = self._send(line)
                if rest:
                    self._waiting.appendleft(rest)
                    self._size += len(rest)
                elif not self._waiting:
                    if self._lost == lost:
                        resumed, self._lost = self._lost, 0
                    self._lock.notify_all()
            if resumed:
                self.resumed(resumed)

    def _poll_patiently(self) -> None:
        patient = select.poll()
        patient.register(self._fd, select.POLLOUT)
        while not patient.poll(_LOOK_S * 1000):
            pass
