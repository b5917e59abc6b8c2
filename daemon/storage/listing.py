"""What lies in the storage root under the name of a task: which directory it is, without looking into it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from daemon.storage import faults, identity
from daemon.storage.identity import Look, Proof
from daemon.storage.names import is_task_id
from daemon.storage.root import OpenRoot


@dataclass(slots=True)  # not frozen: there is one for each directory of every scan, and that would take longer
class Listed:
    """One name, and what has it; ``found`` is None if that cannot be looked at.

    ``problem`` says why it is not a task directory, although it has the name of one.
    """

    name: str
    found: Look | None
    problem: str | None = None


def tasks(root: OpenRoot) -> Iterator[Listed]:
    """Everything that is a task directory, or a symlink in the place of one, in no order. Raises OSError."""
    with os.scandir(root.fd) as entries:
        for entry in entries:
            if is_task_id(entry.name):
                try:
                    found = identity.look(root.fd, entry.name)
                except FileNotFoundError:
                    continue
                except OSError as error:  # somebody's own mount there, or one that is dead
                    if faults.is_of_root(error):
                        raise
                    why = f"it cannot be looked at: {error.strerror}"
                    yield Listed(entry.name, None, why)
                    continue
                if stat.S_ISDIR(found.mode):
                    problem = None
                elif stat.S_ISLNK(found.mode):
                    problem = "a symbolic link, which is not followed"
                else:
                    continue
                yield Listed(entry.name, found, problem)


def is_there(root: OpenRoot, listed: Listed) -> bool:
    """Whether the name still belongs to the same directory, or cannot be looked at. Raises OSError."""
    found = _look(root, listed.name)
    if isinstance(found, OSError):
        return True
    if found is None or listed.found is None:
        return False
    return found.identity.compare(listed.found.identity) is not Proof.OTHER


def is_absent(root: OpenRoot, name: str) -> bool:
    """Whether nothing in the root that ``tasks`` lists has that name. Raises OSError."""
    found = _look(root, name)
    if isinstance(found, OSError):
        return False
    return found is None or not (stat.S_ISDIR(found.mode) or stat.S_ISLNK(found.mode))


def _look(root: OpenRoot, name: str) -> Look | OSError | None:
    """None if there is nothing; the error if it is about that name alone. Raises OSError if it is not."""
    try:
        return identity.look(root.fd, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        if faults.is_of_root(error):
            raise
        return error
