"""The trash: where a task directory waits between leaving its place and its real end.

One entry per deletion, ``{root}/.sweepd/trash/{deletion_id}/`` with ``manifest.json`` (what it is and who asked),
``data`` (the task directory) and ``census.json`` (its exact counts). Whoever works on an entry holds a lock on its
directory, which the kernel releases when the process dies: recovery takes only what nobody works on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from daemon import clock
from daemon.storage import census, durable, removal
from daemon.storage.census import Census
from daemon.storage.moves import move
from daemon.storage.root import OpenRoot, TaskDirectory
from daemon.storage.syscalls import open_directory

_TRASH: Final = "trash"
_QUARANTINE: Final = "quarantine"
_MANIFEST: Final = "manifest.json"
_DATA: Final = "data"
_CENSUS: Final = "census.json"


def new_deletion_id() -> str:
    """A fresh id of 28 hexadecimal digits; ids sort by the millisecond they were made in."""
    return f"{clock.unix_ms():012x}{secrets.token_hex(8)}"


class MovedSomethingElse(Exception):
    """What was moved into the trash is not the directory that was looked at; it has been put back."""


class TrashEntry:
    """One locked entry of the trash. All methods raise OSError."""

    def __init__(self, root: OpenRoot, trash_fd: int, fd: int, deletion_id: str) -> None:
        self.deletion_id = deletion_id
        self.root_id = root.root_id
        self._root = root
        self._trash_fd = trash_fd
        self._fd = fd

    def write_manifest(self, manifest: Mapping[str, object]) -> None:
        """Make the entry durable with what it is for; the first thing that happens in it."""
        durable.write_json(self._fd, _MANIFEST, manifest)
        os.fsync(self._trash_fd)

    def read_manifest(self) -> dict[str, object] | None:
        """The manifest, or None if there is none or it is not readable as one."""
        try:
            return durable.read_json(self._fd, _MANIFEST)
        except ValueError:
            return None

    def take_in(self, directory: TaskDirectory) -> None:
        """Move the task directory in, durably. Raises MovedSomethingElse if it was swapped since it was looked at."""
        move(self._root.fd, directory.task_id, self._fd, _DATA)
        status = os.stat(_DATA, dir_fd=self._fd, follow_symlinks=False)
        if (status.st_dev, status.st_ino) != (directory.device, directory.inode):
            self.put_back(directory.task_id)
            raise MovedSomethingElse(directory.task_id)

    def put_back(self, task_id: str) -> None:
        """Move the data back to its name in the root, durably; FileExistsError if the name is taken by now."""
        move(self._fd, _DATA, self._root.fd, task_id)

    def has_data(self) -> bool:
        try:
            os.stat(_DATA, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def count(self) -> Census:
        """The exact counts of the data: read if they were taken before, else taken and made durable first."""
        stored = self._stored_census()
        if stored is not None:
            return stored
        taken = census.take(self._fd, _DATA) if self.has_data() else census.NOTHING
        durable.write_json(self._fd, _CENSUS, taken.to_json())
        return taken

    def has_census(self) -> bool:
        return self._stored_census() is not None

    def purge(self) -> None:
        """Remove the data for good."""
        removal.remove_tree(self._fd, _DATA)

    def discard(self) -> None:
        """Remove the entry itself, which holds no data any more."""
        for name in (f"{_CENSUS}.tmp", _CENSUS, f"{_MANIFEST}.tmp", _MANIFEST):
            removal.remove_file(self._fd, name)
        removal.remove_empty_directory(self._trash_fd, self.deletion_id)

    def _stored_census(self) -> Census | None:
        try:
            stored = durable.read_json(self._fd, _CENSUS)
            return None if stored is None else Census.from_json({key: int(str(stored[key])) for key in stored})
        except (ValueError, KeyError):  # not to be taken again: the purge may have begun
            raise OSError(errno.EBADMSG, "not readable as a census; look at it by hand", _CENSUS) from None

    def quarantine(self) -> None:
        """Put the entry aside, whole, for a person to look at: ``{root}/.sweepd/quarantine/{deletion_id}``."""
        with _subdirectory(self._root.state_fd, _QUARANTINE) as quarantine_fd:
            move(self._trash_fd, self.deletion_id, quarantine_fd, self.deletion_id)


@contextmanager
def new_entry(root: OpenRoot) -> Iterator[TrashEntry]:
    """A new, locked, still empty entry. Raises OSError."""
    with _subdirectory(root.state_fd, _TRASH) as trash_fd:
        while True:
            deletion_id = new_deletion_id()
            os.mkdir(deletion_id, 0o700, dir_fd=trash_fd)
            fd = _lock(trash_fd, deletion_id)
            if fd is not None:
                break  # else: a recovery took the empty entry for a leftover before it was locked
        try:
            yield TrashEntry(root, trash_fd, fd, deletion_id)
        finally:
            os.close(fd)


@contextmanager
def existing_entry(root: OpenRoot, deletion_id: str) -> Iterator[TrashEntry | None]:
    """The entry, locked; None if it is gone or somebody works on it. Raises OSError."""
    with _subdirectory(root.state_fd, _TRASH) as trash_fd:
        fd = _lock(trash_fd, deletion_id)
        if fd is None:
            yield None
            return
        try:
            yield TrashEntry(root, trash_fd, fd, deletion_id)
        finally:
            os.close(fd)


def entry_ids(root: OpenRoot) -> list[str]:
    """The ids of all entries, oldest first. Raises OSError."""
    with _subdirectory(root.state_fd, _TRASH) as trash_fd:
        return sorted(os.listdir(trash_fd))


def holding(root: OpenRoot, task_id: str) -> list[str]:
    """The ids of the entries that hold a directory of this task, whoever works on them. Raises OSError."""
    found = []
    with _subdirectory(root.state_fd, _TRASH) as trash_fd:
        for deletion_id in sorted(os.listdir(trash_fd)):
            try:
                fd = open_directory(trash_fd, deletion_id)
            except OSError:
                continue  # gone meanwhile, or nothing of ours
            try:
                entry = TrashEntry(root, trash_fd, fd, deletion_id)
                manifest = entry.read_manifest()
                if manifest is not None and manifest.get("task_id") == task_id and entry.has_data():
                    found.append(deletion_id)
            finally:
                os.close(fd)
    return found


@contextmanager
def _subdirectory(state_fd: int, name: str) -> Iterator[int]:
    try:
        fd = open_directory(state_fd, name)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another process was first
            os.mkdir(name, 0o700, dir_fd=state_fd)
        os.fsync(state_fd)
        fd = open_directory(state_fd, name)
    try:
        yield fd
    finally:
        os.close(fd)


def _lock(trash_fd: int, deletion_id: str) -> int | None:
    """Open and lock an entry; None if it is gone, not a directory, or locked by somebody alive."""
    try:
        fd = open_directory(trash_fd, deletion_id)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(deletion_id, dir_fd=trash_fd, follow_symlinks=False)  # removed between opening and locking?
    except (BlockingIOError, FileNotFoundError):
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd
