"""A file that is only ever added to, whole lines at a time, and that somebody else may rotate."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_OPEN: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o640


def look(path: Path) -> None:
    """Makes nothing, and writes nothing. Raises OSError if lines could not be added to ``path``."""
    try:
        os.close(os.open(path, _OPEN & ~os.O_CREAT))
    except FileNotFoundError:
        os.close(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


class AppendOnly:
    """Opened when it is first needed, and anew when another file has its name, or none. One thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_doubtful = False
        """Whether a sync has failed: what was added before it looks as if it were there, and may not be on the disk."""
        self._fd = -1

    def append(self, text: str) -> None:
        """Add these lines, and sync them. Raises OSError, and then any part of them may be there."""
        try:
            self._open()
            data = memoryview(text.encode())
            while data:
                data = data[os.write(self._fd, data) :]
            self._sync()
        except OSError:
            self.close()
            raise

    def sync(self) -> None:
        """Make durable what another process may have added and not synced. Raises OSError."""
        self._open()
        self._sync()

    def tail(self, most: int) -> list[str]:
        """The last whole lines, within so many bytes. Raises OSError."""
        self._open()
        size = os.fstat(self._fd).st_size
        start = max(0, size - most)
        lines = os.pread(self._fd, most, start).split(b"\n")
        return [line.decode(errors="replace") for line in (lines if start == 0 else lines[1:])[:-1]]

    def close(self) -> None:
        """Until it is needed again."""
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _sync(self) -> None:
        self.is_doubtful = True
        os.fsync(self._fd)
        self.is_doubtful = False

    def _open(self) -> None:
        if self._fd >= 0 and self._is_there():
            return
        self.close()
        self._fd = os.open(self.path, _OPEN, _MODE)
        directory_fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory_fd)  # its name has to survive too
        finally:
            os.close(directory_fd)
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")  # a line that was cut off stays by itself

    def _is_there(self) -> bool:
        opened = os.fstat(self._fd)
        try:
            named = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
