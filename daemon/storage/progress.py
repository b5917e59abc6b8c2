"""How far a large removal is."""

from __future__ import annotations

import threading
from typing import Final

from daemon import clock

_LARGE_FILE: Final = 1024 * 1024  # bytes, on average


class Progress:
    """Files and bytes removed so far, of how many. Thread-safe.

    ``bytes_done`` is exact where files are large (1 MiB on average); where they are small it is in proportion to
    the files, since asking for each size would slow the removal down.
    """

    def __init__(self, files_total: int, bytes_total: int) -> None:
        self.files_total = files_total
        self.bytes_total = bytes_total
        self.measures = files_total > 0 and bytes_total / files_total >= _LARGE_FILE
        """Whether those who remove should tell the bytes as well."""
        self._lock = threading.Lock()
        self._files = 0
        self._bytes = 0
        self._started = clock.monotonic()

    def add(self, files: int, size_bytes: int = 0) -> None:
        """So much more is gone."""
        with self._lock:
            self._files += files
            self._bytes += size_bytes

    @property
    def files_done(self) -> int:
        """Never more than there are: a writer may still have added some."""
        return min(self._files, self.files_total)

    @property
    def bytes_done(self) -> int:
        """Apparent bytes."""
        if self.measures:
            return min(self._bytes, self.bytes_total)
        return self.bytes_total * self.files_done // max(1, self.files_total)

    @property
    def files_per_second(self) -> float:
        """Since it began."""
        return self.files_done / max(1e-6, clock.monotonic() - self._started)

    @property
    def remaining_s(self) -> float | None:
        """Seconds, if it goes on as it did; None before anything is gone."""
        total, done = (self.bytes_total, self.bytes_done) if self.measures else (self.files_total, self.files_done)
        if not done:
            return None
        return (clock.monotonic() - self._started) * (total - done) / done
