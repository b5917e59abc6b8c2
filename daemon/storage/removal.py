"""The one place where anything is ever unlinked or removed.

Callers hold a descriptor of the parent directory and name one entry in it: no path is resolved here, so no
symlink can lead away. Devices, FIFOs and sockets are unlinked, never opened. Mounts stop the removal.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator

from daemon.storage.walk import traverse


def remove_tree(parent_fd: int, name: str) -> None:
    """Remove the directory ``name`` inside ``parent_fd`` with all it holds; absent is fine.

    Symlinks go, their targets stay. Entries that appear meanwhile are removed too, within bounds.
    Raises OSError naming the path that could not be removed (EXDEV: a mount); what was removed stays removed,
    and the call can be repeated.
    """
    try:
        traverse(parent_fd, name, _remove_files, _remove_directory)
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
    _remove_directory(parent_fd, name)


def _remove_files(fd: int) -> Generator[str, None, None]:
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name
                continue
            try:
                os.unlink(entry.name, dir_fd=fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                # EISDIR: replaced by a directory since it was listed; the re-scan takes it
                if error.errno != errno.EISDIR:
                    raise


def _remove_directory(parent_fd: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return
