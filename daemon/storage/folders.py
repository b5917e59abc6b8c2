"""The daemon's own folders inside a storage root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from daemon.storage.reserve import with_reserve
from daemon.storage.root import OpenRoot
from daemon.storage.syscalls import DIRECTORY, open_directory


@contextmanager
def folder(root: OpenRoot, name: str) -> Iterator[int]:
    """A descriptor of ``{root}/.sweepd/{name}``, made if it is not there. Raises OSError."""
    try:
        fd = open_directory(root.state_fd, name)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process was first
            with_reserve(root, lambda: os.mkdir(name, 0o700, dir_fd=root.state_fd))
        os.fsync(root.state_fd)
        fd = open_directory(root.state_fd, name)
    try:
        yield fd
    finally:
        os.close(fd)


def names_in(fd: int) -> list[str]:
    """What lies in a directory now, however long its descriptor has been open. Raises OSError.

    btrfs lists through a descriptor what was there when it was opened.
    """
    fresh = os.open(".", DIRECTORY, dir_fd=fd)
    try:
        return os.listdir(fresh)
    finally:
        os.close(fresh)
