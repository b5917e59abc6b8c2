"""Replaces the token file in one step, readable by its owner alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from daemon.storage.moves import replace

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """One change at a time: waits for another process that changes the same file. Raises OSError.

    The lock is on its folder, so nothing is left behind.
    """
    fd = os.open(path.parent, _DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write(path: Path, text: str) -> None:
    """Give the file this content: a reader sees the old one or the new one. Keeps its owner. Raises OSError."""
    directory_fd = os.open(path.parent, _DIRECTORY)
    temporary = f".{path.name}.tmp"
    try:
        fd = os.open(temporary, _WRITE, 0o600, dir_fd=directory_fd)
        try:
            os.fchmod(fd, 0o600)  # one that was left behind may have had another
            with suppress(FileNotFoundError):
                owner = os.stat(path.name, dir_fd=directory_fd, follow_symlinks=False)
                if os.geteuid() == 0:  # made by root, it would be unreadable to the daemon
                    os.fchown(fd, owner.st_uid, owner.st_gid)
            with os.fdopen(fd, "w", encoding="utf-8", closefd=False) as file:
                file.write(text)
            os.fsync(fd)
        finally:
            os.close(fd)
        replace(directory_fd, temporary, path.name)
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
