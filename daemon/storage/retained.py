"""Where task directories wait for their purge or their return: ``{root}/.sweepd/retained/{deletion_id}/``.

Each is the moved task directory itself, and nothing else: whose it is and until when it waits is in the journal.
"""

from __future__ import annotations

import os

from daemon.storage.census import Census
from daemon.storage.folders import RETAINED, existing, folder
from daemon.storage.moves import move
from daemon.storage.root import OpenRoot, TaskDirectory, is_directory
from daemon.storage.workers import Workers


def ids(root: OpenRoot) -> set[str]:
    """The ids of the deletions whose directory waits. Raises OSError."""
    with existing(root, RETAINED) as retained_fd:
        names = [] if retained_fd is None else os.listdir(retained_fd)
        return {name for name in names if "." not in name}  # else its purge has begun


def newest(root: OpenRoot, most: int) -> list[str]:
    """The greatest ids of those that wait, at most so many. Raises OSError."""
    return sorted(ids(root))[-most:]


def find(root: OpenRoot, deletion_id: str, task_id: str) -> TaskDirectory | None:
    """The directory that waits, or None if there is none. Raises OSError."""
    with existing(root, RETAINED) as retained_fd:
        if retained_fd is None:
            return None
        try:
            status = os.stat(deletion_id, dir_fd=retained_fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
    return TaskDirectory(task_id, status.st_dev, status.st_ino)


def count(root: OpenRoot, deletion_id: str, workers: Workers) -> Census | None:
    """The counts of a directory that waits; None if there is none. Raises OSError."""
    with existing(root, RETAINED) as retained_fd:
        if retained_fd is None:
            return None
        try:
            return workers.count(retained_fd, [deletion_id])[0]
        except FileNotFoundError:
            return None


def bring_back(root: OpenRoot, deletion_id: str, task_id: str) -> None:
    """Move a directory that waits to its name in the root, durably; FileExistsError if the name is taken."""
    with folder(root, RETAINED) as retained_fd:
        move(retained_fd, deletion_id, root.fd, task_id)


def send_back(root: OpenRoot, directory: TaskDirectory, deletion_id: str) -> bool:
    """The inverse of ``bring_back``; False if it is that very directory no longer. Raises OSError."""
    if not is_directory(root.fd, directory.task_id, directory):
        return False
    with folder(root, RETAINED) as retained_fd:
        move(root.fd, directory.task_id, retained_fd, deletion_id)
    return True
