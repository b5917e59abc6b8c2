"""The daemon's own folders inside a storage root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from daemon.storage.reserve import with_reserve
from daemon.storage.root import OpenRoot
from daemon.storage.syscalls import DIRECTORY, open_directory

TRASH: Final = "trash"
RETAINED: Final = "retained"
QUARANTINE: Final = "quarantine"
FOLDERS: Final = (TRASH, RETAINED, QUARANTINE)


@contextmanager
def folder(root: OpenRoot, name: str, *, frees: bool = True) -> Iterator[int]:
    """A descriptor of ``{root}/.sweepd/{name}``, made if it is not there. Raises OSError.

    ``frees``: the folder is for something that frees space, so the reserve may be used to make it.
    """
    try:
        fd = open_directory(root.state_fd, name)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process was first
            with_reserve(root, lambda: os.mkdir(name, 0o700, dir_fd=root.state_fd), frees=frees)
        os.fsync(root.state_fd)
        fd = open_directory(root.state_fd, name)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def existing(root: OpenRoot, name: str) -> Iterator[int | None]:
    """A descriptor of ``{root}/.sweepd/{name}``; None if there is no such folder, and none is made. Raises OSError."""
    if not root.marked:
        yield None
        return
    try:
        fd = open_directory(root.state_fd, name)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def make_all(root: OpenRoot) -> None:
    """Make every folder that is missing, while there is room. Raises OSError."""
    for name in FOLDERS:
        with folder(root, name):
            pass


def names_in(fd: int) -> list[str]:
    """What lies in a directory now, however long its descriptor has been open. Raises OSError.

    btrfs lists through a descriptor what was there when it was opened.
    """
    fresh = os.open(".", DIRECTORY, dir_fd=fd)
    try:
        return os.listdir(fresh)
    finally:
        os.close(fresh)
