"""A directory that is removed where it stands, since it cannot be moved into the trash; the journal is its manifest.

There may be no room for an entry of the trash, or the file system may not move this one directory. Which one it is, is
proven by its identity at each step, and whoever works on it holds a lock on the directory itself, which the kernel
releases when the process dies. What does not hold: its path is not frozen, so a writer may still write into it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from typing import Final

from daemon.storage import removal
from daemon.storage.census import NOTHING, Census, take_small
from daemon.storage.folders import RETAINED, existing
from daemon.storage.identity import Identity, Proof, look
from daemon.storage.moves import move
from daemon.storage.progress import Progress
from daemon.storage.root import OpenRoot
from daemon.storage.syscalls import open_directory
from daemon.storage.walk import ITSELF
from daemon.storage.workers import Workers

WAITED: Final = "retained"
"""In the journal, in place of an identity: the directory is removed where it waited in the trash."""
_PURGE: Final = ".purge"
# Entries of a directory that are counted while its row is locked: some milliseconds.
_SMALL: Final = 256


class Busy(Exception):
    """Somebody alive works on it, or has locked it."""


class Unprovable(Exception):
    """The file system does not tell a directory from another one that is made later."""


class Standing:
    """The directory of one deletion, locked: ``name`` inside ``parent_fd``. All methods raise OSError.

    ``identity``: which one it is. Gone, or in the hands of somebody else, it is not touched any more.
    """

    counts_durably = False

    def __init__(self, deletion_id: str, parent_fd: int, name: str, fd: int | None, identity: Identity) -> None:
        self.entry_id = deletion_id
        self.identity = identity
        self.in_place: str | None = str(identity)
        self._parent_fd = parent_fd
        self._name = name
        self._fd = fd

    def close(self) -> None:
        """Give up the lock; again is nothing."""
        for fd in {self._fd, self._parent_fd}:
            if fd is not None and fd >= 0:
                os.close(fd)
        self._fd, self._parent_fd = None, -1

    def held(self) -> set[str]:
        """The deletion's id, as long as the directory is there."""
        # It is kept open, so nothing else gets its inode meanwhile.
        there = self._fd is not None and look(self._fd, "").is_at(self._parent_fd, self._name)
        return {self.entry_id} if there else set()

    def glance(self) -> Census | None:
        """The counts of the directory, if it is small; None if it is not."""
        assert self._fd is not None
        return take_small(self._fd, ITSELF, _SMALL)

    def count(self, deletion_id: str, workers: Workers) -> Census:
        """The exact counts. Whoever removes it afterwards has to make them durable first."""
        del deletion_id
        if self._fd is None or not self.held():
            return NOTHING
        return workers.count(self._fd, [ITSELF])[0]

    def purge(self, deletion_ids: Iterable[str], workers: Workers, progress: Progress | None = None) -> None:
        """Remove it, all that can be; raises the first error in the end."""
        if self._fd is None or not list(deletion_ids) or not self.held():
            return
        try:
            workers.remove(self._fd, [ITSELF], progress, last=self._leave)
        except OSError as error:
            if isinstance(error.filename, str):
                error.filename = f"{self._name}/{error.filename.removeprefix('./')}"
            raise

    def discard(self) -> None:
        """There is no manifest to remove."""

    def _leave(self) -> None:
        if self.held():
            removal.remove_empty_directory(self._parent_fd, self._name)


def stand(root: OpenRoot, deletion_id: str, task_id: str, *, layered: bool) -> Standing:
    """Lock a task directory in its place. Raises Busy, Unprovable, and OSError (ENOENT if there is none).

    ``layered``: an overlay may hold it in a lower layer; the first change makes another one of it, so it comes first.
    """
    if layered:
        _touch(root.fd, task_id)
    fd = open_directory(root.fd, task_id)
    try:
        identity = look(fd, "").identity
        if identity.compare(identity) is not Proof.SAME:
            raise Unprovable(task_id)
        _lock(fd)
        return Standing(deletion_id, os.dup(root.fd), task_id, fd, identity)
    except BaseException:
        os.close(fd)
        raise


def find(root: OpenRoot, deletion_id: str, task_id: str, identity: Identity) -> Standing:
    """That directory, locked, if it is proven to be there; else what is not touched. Raises Busy and OSError."""
    return _find(deletion_id, os.dup(root.fd), task_id, identity)


def begun(root: OpenRoot) -> set[str]:
    """The deletions whose purge has begun where they wait in the trash. Raises OSError."""
    with existing(root, RETAINED) as fd:
        names = [] if fd is None else os.listdir(fd)
    return {name.removesuffix(_PURGE) for name in names if name.endswith(_PURGE)}


def begin(root: OpenRoot, deletion_id: str) -> Standing | None:
    """Begin the purge of a directory that waits, where it waits; None if it is not there. Raises Busy and OSError.

    Its name says from then on, durably, that there is no way back.
    """
    with existing(root, RETAINED) as parent_fd:
        if parent_fd is None:
            return None
        try:
            fd = open_directory(parent_fd, deletion_id)
        except FileNotFoundError:
            return None
        try:
            _lock(fd)
            move(parent_fd, deletion_id, parent_fd, deletion_id + _PURGE)
            found = Standing(deletion_id, os.dup(parent_fd), deletion_id + _PURGE, fd, look(fd, "").identity)
            found.in_place = WAITED
            return found
        except FileNotFoundError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise


def resume(root: OpenRoot, deletion_id: str) -> Standing | None:
    """Go on with what ``begin`` has begun; None if it is gone. Raises Busy and OSError."""
    with existing(root, RETAINED) as parent_fd:
        if parent_fd is None:
            return None
        try:
            identity = look(parent_fd, deletion_id + _PURGE).identity
        except FileNotFoundError:
            return None
        found = _find(deletion_id, os.dup(parent_fd), deletion_id + _PURGE, identity)
        found.in_place = WAITED
        return found


def gone(root: OpenRoot, deletion_id: str) -> Standing:
    """What nothing is left of."""
    return Standing(deletion_id, os.dup(root.fd), deletion_id, None, Identity(0))


def _find(deletion_id: str, parent_fd: int, name: str, identity: Identity) -> Standing:
    fd = None
    try:
        try:
            fd = open_directory(parent_fd, name)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                raise
        if fd is not None and look(fd, "").identity.compare(identity) is not Proof.SAME:
            os.close(fd)
            fd = None
        if fd is not None:
            _lock(fd)
        return Standing(deletion_id, parent_fd, name, fd, identity)
    except BaseException:
        os.close(parent_fd)
        if fd is not None:
            os.close(fd)
        raise


def _touch(parent_fd: int, name: str) -> None:
    """Set the times of a directory to what they are."""
    fd = open_directory(parent_fd, name)
    try:
        status = os.fstat(fd)
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy from None
