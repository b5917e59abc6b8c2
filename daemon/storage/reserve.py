"""Space set aside in the storage root, given up when the file system is full: so that deleting needs no free byte.

A deletion writes a manifest before it moves anything. On a full file system that fails, unless something is given
up first; afterwards the purge frees space, and the reserve is made again. One file is given up at a time, and only for
what frees space in the end.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from daemon.errors import SweepdError
from daemon.storage import removal
from daemon.storage.root import OpenRoot, StorageRoot, read_identity
from daemon.storage.syscalls import open_directory

_NAME: Final = "reserve"
_FILES: Final = 16  # file systems run out of inodes too
_FILE_BYTES: Final = 64 * 1024
# Made only where at least this much is free beside it.
_SPARE_BYTES: Final = 8 * _FILES * _FILE_BYTES
# What a transaction of SQLite needs: its log, and the index of that.
_DATABASE_BYTES: Final = 4 * _FILE_BYTES
_DATABASE_INODES: Final = 2
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}

_T = TypeVar("_T")


def is_full(error: OSError) -> bool:
    """Whether there is no space, inode or quota left."""
    return error.errno in _FULL


def keep(root: OpenRoot) -> None:
    """Set space aside, as far as there is plenty. Raises OSError other than for a full file system."""
    try:
        fd = _open(root)
        try:
            missing = _FILES - len(os.listdir(fd))
            free = os.fstatvfs(fd)
            if free.f_bavail * free.f_frsize < _SPARE_BYTES:
                return
            for number in range(missing):
                _allocate(fd, number)
        finally:
            os.close(fd)
    except OSError as error:
        if not is_full(error):
            raise


def give_up(root: OpenRoot) -> bool:
    """Free one file of the reserve; False if there is none. Raises OSError."""
    if not root.marked:
        return False
    try:
        fd = open_directory(root.state_fd, _NAME)
    except FileNotFoundError:
        return False
    try:
        name = next(iter(sorted(os.listdir(fd))), None)
        if name is not None:
            removal.remove_file(fd, name)
    finally:
        os.close(fd)
    return name is not None


def make_room_for(path: Path, neighbour: Path) -> None:
    """Give up a part of the reserve of the root ``path`` for a database on the same full file system. Never raises.

    A transaction writes a log before it changes anything, and the first one makes the file of it.
    """
    with suppress(OSError, SweepdError):
        for _ in range(_FILES):
            free = os.statvfs(neighbour)
            # a file system without a limit of inodes tells none
            roomy = not free.f_files or free.f_favail >= _DATABASE_INODES
            if roomy and free.f_bavail * free.f_frsize >= _DATABASE_BYTES:
                return
            if neighbour.stat().st_dev != path.stat().st_dev:
                return
            root_id = read_identity(path)
            if root_id is None:
                return
            with StorageRoot(path, partial(str, root_id)).open() as root:
                if not give_up(root):
                    return


def left(root: OpenRoot) -> int:
    """How many files there are to give up. Raises OSError."""
    if not root.marked:
        return 0
    try:
        fd = open_directory(root.state_fd, _NAME)
    except FileNotFoundError:
        return 0
    try:
        return len(os.listdir(fd))
    finally:
        os.close(fd)


def with_reserve(root: OpenRoot, write: Callable[[], _T], *, frees: bool = True) -> _T:
    """Call ``write``; on a full file system again, each time with one more file of the reserve given up.

    Only if it is part of what ``frees`` space: anything else has no share of the reserve. Raises what ``write`` raises.
    """
    while True:
        try:
            return write()
        except OSError as error:
            if not frees or not is_full(error) or not give_up(root):
                raise


def _open(root: OpenRoot) -> int:
    try:
        return open_directory(root.state_fd, _NAME)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process was first
            os.mkdir(_NAME, 0o700, dir_fd=root.state_fd)
        return open_directory(root.state_fd, _NAME)


def _allocate(fd: int, number: int) -> None:
    for candidate in range(number, number + _FILES):
        try:
            file = os.open(f"{candidate}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
        except FileExistsError:
            continue
        try:
            os.posix_fallocate(file, 0, _FILE_BYTES)
        except OSError:
            removal.remove_file(fd, f"{candidate}")  # an empty one would pass for a full one
            raise
        finally:
            os.close(file)
        return
