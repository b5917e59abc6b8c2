"""The one place where anything is renamed. A move is durable once both its directories are synced."""

from __future__ import annotations

import errno
import os

from daemon.storage.syscalls import rename_noreplace


def move(from_fd: int, from_name: str, to_fd: int, to_name: str, *, sync: bool = True) -> None:
    """Move an entry between two directories of one file system, durably, never onto something that exists.

    With ``sync`` off the caller syncs both directories, once for several moves. Raises OSError: EEXIST if the
    target name is taken, EXDEV across file systems.
    """
    rename_noreplace(from_fd, from_name, to_fd, to_name)
    if sync:
        os.fsync(to_fd)
        os.fsync(from_fd)


def would_move(from_fd: int, name: str, to_fd: int, full_name: str) -> bool:
    """Whether the file system lets a directory be moved there, without moving it.

    It is asked to move it onto ``full_name``, a directory that is not empty, which cannot succeed (rename(2)); where
    a directory cannot be moved at all, the file system says so first. Raises OSError that says anything else.
    """
    try:
        os.rename(name, full_name, src_dir_fd=from_fd, dst_dir_fd=to_fd)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    return True


def replace(directory_fd: int, from_name: str, to_name: str) -> None:
    """Put a finished file in the place of an older one; the caller syncs the directory. Raises OSError."""
    os.replace(from_name, to_name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
