"""Where task directories are between leaving their place and their real end.

``{root}/.sweepd/trash/{entry_id}/`` is work in progress: ``manifest.json`` (what it is and who asked), the task
directories, each ``{deletion_id}`` and from the beginning of its purge ``{deletion_id}.purge``, and the exact counts of
large ones, ``{deletion_id}.census``. Whoever works on an entry holds
a lock on its directory, which the kernel releases when the process dies: recovery takes only what nobody works on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from daemon import clock
from daemon.storage import durable, removal
from daemon.storage.census import NOTHING, Census, take_small
from daemon.storage.folders import QUARANTINE, RETAINED, TRASH, existing, folder, names_in
from daemon.storage.moves import move
from daemon.storage.progress import Progress
from daemon.storage.reserve import is_full, with_reserve
from daemon.storage.root import OpenRoot, TaskDirectory
from daemon.storage.subvolumes import own_fault
from daemon.storage.syscalls import open_directory
from daemon.storage.workers import Workers

_MANIFEST: Final = "manifest.json"
_CENSUS: Final = ".census"
_CENSUSES: Final = (_CENSUS, f"{_CENSUS}.tmp")
_PURGE: Final = ".purge"
# Entries of a directory that are counted while its row is locked: some milliseconds.
_SMALL: Final = 256


def new_deletion_id() -> str:
    """A fresh id of 28 hexadecimal digits; ids sort by the millisecond they were made in."""
    return f"{clock.unix_ms():012x}{secrets.token_hex(8)}"


def is_deletion_id(text: str) -> bool:
    """Whether it looks like one of ``new_deletion_id``; those of sweeps and holds do too."""
    return re.fullmatch(r"[0-9a-f]{28}", text) is not None


class MovedSomethingElse(Exception):
    """What was moved into the trash is not the directory that was looked at; it has been put back."""


class TrashEntry:
    """One locked entry of the trash. All methods raise OSError. One that ``frees`` space may use up the reserve."""

    counts_durably = True
    in_place: str | None = None

    def __init__(self, root: OpenRoot, trash_fd: int, fd: int, entry_id: str, *, frees: bool = True) -> None:
        self.entry_id = entry_id
        self._frees = frees
        self.root_id = root.root_id
        self.root = root
        self._trash_fd = trash_fd
        self._fd = fd

    def write_manifest(self, manifest: Mapping[str, object]) -> None:
        """Make the entry durable with what it is for; the first thing that happens in it."""
        with_reserve(self.root, lambda: durable.create_json(self._fd, _MANIFEST, manifest), frees=self._frees)
        os.fsync(self._trash_fd)

    def read_manifest(self) -> dict[str, object] | None:
        """The manifest, or None if there is none or it is not readable as one."""
        try:
            return durable.read_json(self._fd, _MANIFEST)
        except ValueError:
            return None

    def take_in(self, directory: TaskDirectory, deletion_id: str) -> None:
        """Move a task directory in; durable after ``sync``.

        Raises MovedSomethingElse if it was swapped since it was looked at.
        """
        try:
            move(self.root.fd, directory.task_id, self._fd, deletion_id, sync=False)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            fd = open_directory(self.root.fd, directory.task_id)
            try:
                raise own_fault(error, fd, os.fstat(self.root.fd).st_dev) from None
            finally:
                os.close(fd)
        try:
            same = directory.found.is_at(self._fd, deletion_id)
        except OSError:
            self.put_back(deletion_id, directory.task_id)
            raise
        if not same:
            self.put_back(deletion_id, directory.task_id)
            raise MovedSomethingElse(directory.task_id)

    def sync(self) -> None:
        """Make what was taken in durable, here and where it came from."""
        os.fsync(self._fd)
        os.fsync(self.root.fd)

    def put_back(self, deletion_id: str, task_id: str) -> None:
        """Move a directory back to its name in the root, durably; FileExistsError if the name is taken by now."""
        move(self._fd, deletion_id, self.root.fd, task_id)

    def retain(self, deletion_ids: Iterable[str]) -> None:
        """Move directories to where they wait, durably."""
        with folder(self.root, RETAINED, frees=self._frees) as retained_fd:
            for deletion_id in deletion_ids:
                move(self._fd, deletion_id, retained_fd, deletion_id, sync=False)
            os.fsync(retained_fd)
            os.fsync(self._fd)

    def take_retained(self, deletion_ids: Iterable[str]) -> tuple[set[str], dict[str, OSError]]:
        """Move directories that wait in here, durably; those that came, and why others that are there could not."""
        taken: set[str] = set()
        stuck: dict[str, OSError] = {}
        with folder(self.root, RETAINED) as retained_fd:
            for deletion_id in deletion_ids:
                try:
                    move(retained_fd, deletion_id, self._fd, deletion_id, sync=False)
                    taken.add(deletion_id)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    stuck[deletion_id] = error
            os.fsync(self._fd)
            os.fsync(retained_fd)
        return taken, stuck

    def held(self) -> set[str]:
        """The ids of the deletions whose directory lies in the entry; whatever else does counts as one."""
        names = (name for name in names_in(self._fd) if name != _MANIFEST and not name.endswith(_CENSUSES))
        return {name.removesuffix(_PURGE) for name in names}

    def begun(self) -> set[str]:
        """The ids of the deletions whose purge has begun, and can only go on."""
        names = names_in(self._fd)
        return {name.removesuffix(suffix) for name in names for suffix in (_PURGE, _CENSUS) if name.endswith(suffix)}

    def glance(self, deletion_id: str) -> Census | None:
        """The exact counts of a directory that was taken in, if it is small; None if it is not."""
        return take_small(self._fd, deletion_id, _SMALL)

    def count(self, deletion_id: str, workers: Workers) -> Census:
        """The exact counts of a directory: read if they were taken before, else taken and made durable first."""
        stored = self._stored_census(deletion_id)
        if stored is not None:
            return stored
        names = [name for name in (deletion_id, deletion_id + _PURGE) if _exists(self._fd, name)]
        taken = workers.count(self._fd, names)[0] if names else NOTHING
        try:
            with_reserve(self.root, lambda: durable.write_json(self._fd, deletion_id + _CENSUS, taken.to_json()))
        except OSError as error:
            if not is_full(error):
                raise
            self.counts_durably = False  # the journal keeps it
        return taken

    def purge(self, deletion_ids: Iterable[str], workers: Workers, progress: Progress | None = None) -> None:
        """Remove these directories for good, all that can be; raises the first error in the end."""
        ids = sorted(deletion_ids)
        for deletion_id in ids:
            with suppress(FileNotFoundError):  # its name says from now on that there is no way back
                move(self._fd, deletion_id, self._fd, deletion_id + _PURGE, sync=False)
        try:
            workers.remove(self._fd, [deletion_id + _PURGE for deletion_id in ids], progress)
        except OSError as error:
            if isinstance(error.filename, str):
                error.filename = f".sweepd/{TRASH}/{self.entry_id}/{error.filename}"
            raise

    def discard(self) -> None:
        """Remove the entry itself, which holds no directory any more; ENOTEMPTY, and its manifest stays, if it does."""
        if self.held():
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), self.entry_id)
        for name in names_in(self._fd):
            if name.endswith(_CENSUSES):
                removal.remove_file(self._fd, name)
        removal.remove_file(self._fd, _MANIFEST)
        removal.remove_empty_directory(self._trash_fd, self.entry_id)

    def quarantine(self) -> None:
        """Put the entry aside, whole, for a person to look at: ``{root}/.sweepd/quarantine/{entry_id}``."""
        with folder(self.root, QUARANTINE) as quarantine_fd:
            move(self._trash_fd, self.entry_id, quarantine_fd, self.entry_id)

    def _stored_census(self, deletion_id: str) -> Census | None:
        try:
            stored = durable.read_json(self._fd, deletion_id + _CENSUS)
            return None if stored is None else Census.from_json({key: int(str(stored[key])) for key in stored})
        except (ValueError, KeyError):  # not to be taken again: the purge may have begun
            name = deletion_id + _CENSUS
            raise OSError(errno.EBADMSG, "not readable as a census; look at it by hand", name) from None


@contextmanager
def new_entry(root: OpenRoot, *, frees: bool = True) -> Iterator[TrashEntry]:
    """A new, locked, still empty entry; only one for what ``frees`` space may use up the reserve. Raises OSError."""
    with folder(root, TRASH, frees=frees) as trash_fd:
        while True:
            entry_id = new_deletion_id()
            with_reserve(root, partial(os.mkdir, entry_id, 0o700, dir_fd=trash_fd), frees=frees)
            fd = _lock(trash_fd, entry_id)
            if fd is not None:
                break  # else: a recovery took the empty entry for a leftover before it was locked
        try:
            yield TrashEntry(root, trash_fd, fd, entry_id, frees=frees)
        finally:
            os.close(fd)


@contextmanager
def existing_entry(root: OpenRoot, entry_id: str) -> Iterator[TrashEntry | None]:
    """The entry, locked; None if it is gone or somebody works on it. Raises OSError."""
    with existing(root, TRASH) as trash_fd:
        fd = None if trash_fd is None else _lock(trash_fd, entry_id)
        if trash_fd is None or fd is None:
            yield None
            return
        try:
            yield TrashEntry(root, trash_fd, fd, entry_id)
        finally:
            os.close(fd)


def entry_ids(root: OpenRoot) -> list[str]:
    """The ids of all entries, oldest first. Raises OSError."""
    with existing(root, TRASH) as trash_fd:
        return [] if trash_fd is None else sorted(os.listdir(trash_fd))


def look(root: OpenRoot) -> Iterator[tuple[dict[str, object], set[str]]]:
    """Every entry that has a readable manifest, whoever works on it: manifest, and the directories it holds."""
    for entry in _entries(root):
        manifest = entry.read_manifest()
        if manifest is not None:
            yield manifest, entry.held()


def look_for_begun(root: OpenRoot) -> Iterator[tuple[dict[str, object], set[str]]]:
    """The entries with a readable manifest in which a purge has begun: manifest, and the deletions it is about."""
    for entry in _entries(root):
        begun = entry.begun()
        manifest = entry.read_manifest() if begun else None
        if manifest is not None:
            yield manifest, begun


def _entries(root: OpenRoot) -> Iterator[TrashEntry]:
    with existing(root, TRASH) as trash_fd:
        if trash_fd is None:
            return
        for entry_id in sorted(os.listdir(trash_fd)):
            try:
                fd = open_directory(trash_fd, entry_id)
            except OSError:
                continue  # gone meanwhile, or nothing of ours
            try:
                yield TrashEntry(root, trash_fd, fd, entry_id)
            finally:
                os.close(fd)


def quarantine_retained(root: OpenRoot, deletion_ids: Iterable[str]) -> str:
    """Put directories that wait aside, in one new folder of the quarantine; its name. Raises OSError."""
    name = new_deletion_id()
    with folder(root, QUARANTINE) as quarantine_fd, folder(root, RETAINED) as retained_fd:
        with_reserve(root, partial(os.mkdir, name, 0o700, dir_fd=quarantine_fd))
        fd = open_directory(quarantine_fd, name)
        try:
            for deletion_id in sorted(deletion_ids):
                move(retained_fd, deletion_id, fd, deletion_id, sync=False)
            for synced in (fd, quarantine_fd, retained_fd):
                os.fsync(synced)
        finally:
            os.close(fd)
    return name


def quarantined_ids(root: OpenRoot) -> set[str]:
    """The ids of the deletions whose directory lies in a quarantined entry. Raises OSError."""
    found: set[str] = set()
    with existing(root, QUARANTINE) as quarantine_fd:
        if quarantine_fd is None:
            return found
        for entry_id in os.listdir(quarantine_fd):
            with suppress(OSError):
                fd = open_directory(quarantine_fd, entry_id)
                try:
                    found.update(os.listdir(fd))
                finally:
                    os.close(fd)
    return found


def _exists(fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _lock(trash_fd: int, entry_id: str) -> int | None:
    """Open and lock an entry; None if it is gone, not a directory, or locked by somebody alive."""
    try:
        fd = open_directory(trash_fd, entry_id)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(entry_id, dir_fd=trash_fd, follow_symlinks=False)  # removed between opening and locking?
    except (BlockingIOError, FileNotFoundError):
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd
