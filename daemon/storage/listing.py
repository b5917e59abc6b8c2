"""What lies in the storage root under the name of a task: which directory it is, without looking into it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.storage import faults
from daemon.storage.names import is_task_id
from daemon.storage.root import OpenRoot, signature


@dataclass(slots=True)  # not frozen: there is one for each directory of every scan, and that would take longer
class Listed:
    """One name. ``signature`` changes with the directory itself and with what lies directly in it.

    ``problem`` says why it is not a task directory, although it has the name of one.
    """

    name: str
    device: int
    inode: int
    signature: str
    problem: str | None = None


def tasks(root: OpenRoot) -> Iterator[Listed]:
    """Everything that is a task directory, or a symlink in the place of one, in no order. Raises OSError."""
    with os.scandir(root.fd) as entries:
        for entry in entries:
            if is_task_id(entry.name):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError as error:  # somebody's own mount there, or one that is dead
                    if faults.is_of_root(error):
                        raise
                    why = f"it cannot be looked at: {error.strerror}"
                    yield Listed(entry.name, 0, entry.inode(), f"0:{entry.inode()}:0:0", why)
                    continue
                if stat.S_ISDIR(status.st_mode):
                    problem = None
                elif stat.S_ISLNK(status.st_mode):
                    problem = "a symbolic link, which is not followed"
                else:
                    continue
                yield Listed(entry.name, status.st_dev, status.st_ino, signature(status), problem)


def is_there(root: OpenRoot, listed: Listed) -> bool:
    """Whether the name still belongs to the same directory, or cannot be looked at. Raises OSError."""
    found = _look(root, listed.name)
    if isinstance(found, OSError):
        return True
    return found is not None and (found.st_dev, found.st_ino) == (listed.device, listed.inode)


def is_absent(root: OpenRoot, name: str) -> bool:
    """Whether nothing in the root that ``tasks`` lists has that name. Raises OSError."""
    found = _look(root, name)
    if isinstance(found, OSError):
        return False
    return found is None or not (stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode))


def _look(root: OpenRoot, name: str) -> os.stat_result | OSError | None:
    """None if there is nothing; the error if it is about that name alone. Raises OSError if it is not."""
    try:
        return os.stat(name, dir_fd=root.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if faults.is_of_root(error):
            raise
        return error
