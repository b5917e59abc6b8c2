"""The one place where anything is ever unlinked or removed.

Callers hold a descriptor of the parent directory and name one entry in it: no path is resolved here, so no
symlink can lead away. Devices, FIFOs and sockets are unlinked, never opened. Mounts stop the removal.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import chain, islice
from operator import methodcaller
from typing import Final, TypeAlias

from daemon.storage.pacing import UNLIMITED, Pace
from daemon.storage.subvolumes import own_fault
from daemon.storage.walk import ITSELF, Helpers, Note, traverse

# Entries of one directory that are sorted at a time: some 20 MB of memory.
_SORTED: Final = 65_536
# Up to so many lie close enough together in any order.
_UNSORTED: Final = 1000

Stretches: TypeAlias = Iterator[list[os.DirEntry[str]]]
"""Entries of one directory, some at a time."""
Removed: TypeAlias = Callable[[int, int], None]
"""Told now and then how many files went, and their apparent bytes if that was asked for."""


class Remover:
    """Removes trees, alone or as one of several that share them out.

    Every entry is tried, whatever becomes of the others; the walk raises the first error in the end. ``home_fd``: any
    directory of the file system that the trees lie on.
    """

    leaves = True
    helpers: Helpers | None = None

    def __init__(
        self,
        home_fd: int,
        *,
        pace: Pace = UNLIMITED,
        measure: bool = False,
        removed: Removed | None = None,
        last: Callable[[], None] | None = None,
    ) -> None:
        self._home = os.fstat(home_fd).st_dev
        self._pace = pace
        self._measure = measure
        self._removed = removed
        self._last = last

    def scan(self, fd: int, status: os.stat_result, note: Note) -> Generator[str, None, None]:
        del status
        with os.scandir(fd) as entries:
            yield from self.remove(fd, by_inode(entries), note)

    def remove(self, fd: int, stretches: Stretches, note: Note) -> Generator[str, None, None]:
        """Unlink these entries of the directory ``fd``, and yield its subdirectories."""
        files = size = 0
        unlink, measure, step = os.unlink, self._measure, self._pace.step
        for entry in chain.from_iterable(stretches):
            if entry.is_dir(follow_symlinks=False):
                yield entry.name
                continue
            try:
                if measure:
                    size += entry.stat(follow_symlinks=False).st_size
                unlink(entry.name, dir_fd=fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                # EISDIR: replaced by a directory since it was listed; the re-scan takes it
                if error.errno != errno.EISDIR:
                    note(self._own(error, fd))
                continue
            files += 1
            if files == step:
                self._tell(files, size)
                files = size = 0
        if files:
            self._tell(files, size)

    def leave(self, parent_fd: int, name: str) -> None:
        try:
            if name == ITSELF:  # the top of the walk itself, which goes from above
                if self._last is not None:
                    self._last()
                return
            remove_empty_directory(parent_fd, name)
        except OSError as error:
            raise self._own(error, parent_fd) from None

    def _own(self, error: OSError, fd: int) -> OSError:
        return own_fault(error, fd, self._home) if error.errno == errno.EROFS else error

    def _tell(self, files: int, size: int) -> None:
        if self._removed is not None:
            self._removed(files, size)
        self._pace.pause(files)


def by_inode(entries: Iterator[os.DirEntry[str]]) -> Stretches:
    """The entries of large directories in the order of their inodes, a stretch at a time.

    A file system lists them by a hash of their names (ext4) and keeps their inodes in the order in which they were
    made: freeing neighbours together writes each block of inodes once. ``rm`` sorts for the same reason.
    """
    while stretch := list(islice(entries, _SORTED)):
        if len(stretch) > _UNSORTED:
            stretch.sort(key=methodcaller("inode"))
        yield stretch


def remove_tree(parent_fd: int, name: str, remover: Remover | None = None) -> None:
    """Remove the directory ``name`` inside ``parent_fd`` with all it holds; absent is fine.

    Symlinks go, their targets stay. Entries that appear meanwhile are removed too, within bounds.
    Raises OSError naming the first path that could not be removed (EXDEV: a mount); everything else is gone,
    and the call can be repeated.
    """
    try:
        traverse(parent_fd, name, remover or Remover(parent_fd))
    except FileNotFoundError:
        return


def remove_file(parent_fd: int, name: str) -> None:
    """Unlink one entry that is not a directory; absent is fine. Raises OSError."""
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return


def remove_empty_directory(parent_fd: int, name: str) -> None:
    """Remove one empty directory; absent is fine. Raises OSError (ENOTEMPTY if it holds anything)."""
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return


def remove_socket(directory_fd: int, name: str) -> None:
    """Unlink a Unix socket; gone already is as good. Raises OSError, EINVAL if it is anything else."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_mode):
            raise OSError(errno.EINVAL, "not a socket", name)
        os.unlink(name, dir_fd=directory_fd)
