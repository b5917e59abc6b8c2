"""Where task directories wait for their purge or their return: ``{root}/.sweepd/retained/{deletion_id}/``.

Each is the moved task directory itself, and nothing else: whose it is and until when it waits is in the journal.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from daemon.storage import identity
from daemon.storage.census import Census
from daemon.storage.folders import RETAINED, existing, folder
from daemon.storage.moves import move
from daemon.storage.root import OpenRoot, TaskDirectory
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
        try:  # of the path alone: whoever may not read it may move it all the same
            fd = os.open(deletion_id, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=retained_fd)
        except FileNotFoundError:
            return None
    root.keep(fd)
    return TaskDirectory(task_id, identity.look(fd, ""))


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


def send_back(root: OpenRoot, task_id: str, deletion_id: str, is_it: Callable[[int, str], bool]) -> bool:
    """The inverse of ``bring_back``; False if ``is_it`` says of name and folder that it is another. Raises OSError."""
    if not is_it(root.fd, task_id):
        return False
    with folder(root, RETAINED) as retained_fd:
        move(root.fd, task_id, retained_fd, deletion_id)
        if is_it(retained_fd, deletion_id):
            return True
        move(retained_fd, deletion_id, root.fd, task_id)  # it was replaced between the look and the move
    return False
