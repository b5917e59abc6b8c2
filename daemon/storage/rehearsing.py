"""Tries out in the root's own folder what every deletion does, and looks whether it could be done to the tasks."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from daemon.storage import moves, removal
from daemon.storage.mounts import mounts_below
from daemon.storage.root import OpenRoot
from daemon.storage.syscalls import open_directory
from daemon.storage.trash import new_deletion_id

_MOST_SHOWN: Final = 3


@dataclass(slots=True)
class Reach:
    """Of so many task directories that were looked at, those whose content this user cannot remove, some by name."""

    looked_at: int = 0
    out_of_reach: int = 0
    examples: list[str] = field(default_factory=list)
    foreign_in_sticky_root: bool = False


def rehearse(root: OpenRoot) -> None:
    """Make a directory with a file, sync it, move it, and remove it. Raises OSError from the step that fails."""
    name = f"doctor-{new_deletion_id()}"
    moved = f"{name}-moved"
    try:
        os.mkdir(name, 0o700, dir_fd=root.state_fd)
        fd = open_directory(root.state_fd, name)
        try:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=fd))
            os.fsync(fd)
        finally:
            os.close(fd)
        moves.move(root.state_fd, name, root.state_fd, moved)
    finally:
        for one in (name, moved):
            removal.remove_tree(root.state_fd, one)


def reach(root: OpenRoot, most: int) -> Reach:
    """Whether this user may take ``most`` task directories away and empty them, one level deep. Raises OSError.

    To rename a directory into the trash takes write and search permission on the root, and, from another parent, on
    the directory itself; to empty it takes them on every directory in it (unlink(2), rename(2)).
    """
    found = Reach()
    sticky = bool(os.fstat(root.fd).st_mode & stat.S_ISVTX) and os.geteuid() not in (0, os.fstat(root.fd).st_uid)
    for name in islice(root.names(), most):
        found.looked_at += 1
        foreign = sticky and os.stat(name, dir_fd=root.fd, follow_symlinks=False).st_uid != os.geteuid()
        found.foreign_in_sticky_root |= foreign
        if foreign or not _may_empty(root.fd, name):
            found.out_of_reach += 1
            if len(found.examples) < _MOST_SHOWN:
                found.examples.append(name)
    return found


def unmovable(root: OpenRoot, most: int) -> list[str]:
    """Of ``most`` task directories those that the file system does not move, although no mount lies there.

    Nothing is moved: each is asked for with a rename that cannot succeed. Raises OSError.
    """
    name = f"doctor-{new_deletion_id()}"
    found: list[str] = []
    try:
        os.mkdir(name, 0o700, dir_fd=root.state_fd)
        fd = open_directory(root.state_fd, name)
        try:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=fd))
        finally:
            os.close(fd)
        mounted = mounts_below(root.fd)
        for task_id in islice(root.names(), most):
            with suppress(OSError):  # what else keeps it from being moved is told by others
                if task_id not in mounted and not moves.would_move(root.fd, task_id, root.state_fd, name):
                    found.append(task_id)
    finally:
        removal.remove_tree(root.state_fd, name)
    return found


def may_take_from(root: OpenRoot) -> bool:
    """Whether this user may rename entries of the root."""
    return os.access(".", os.W_OK | os.X_OK, dir_fd=root.fd, effective_ids=True)


def _may_empty(parent_fd: int, name: str) -> bool:
    if not os.access(name, os.R_OK | os.W_OK | os.X_OK, dir_fd=parent_fd, effective_ids=True):
        return False
    try:
        fd = open_directory(parent_fd, name)
    except OSError:
        return False
    try:
        with os.scandir(fd) as entries:
            below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return all(os.access(one, os.R_OK | os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True) for one in below)
    finally:
        os.close(fd)
