"""The storage root and its identity: a marker inside proves that the right file system is mounted here.

Every operation opens the root afresh and checks the marker, so that an unmounted, swapped or covered root is
noticed before anything is concluded from what is missing in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon import clock
from daemon.errors import ErrorCode, RootUnavailable, SweepdError, TaskRefused
from daemon.storage import census, durable, identity, space
from daemon.storage.census import Census
from daemon.storage.identity import Look
from daemon.storage.mounts import mounts_below
from daemon.storage.names import STATE_DIRECTORY, is_task_id
from daemon.storage.space import FileSystem
from daemon.storage.syscalls import open_directory

MARKER: Final = "root.json"
_PROBE: Final = "probe.json"
# What failed once fails again a moment later, more often than not.
_FAULT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class TaskDirectory:
    """A task directory that was found. It is kept open as long as the root is: nothing else gets its inode."""

    task_id: str
    found: Look


class OpenRoot:
    """A storage root whose identity has just been proven. ``fd`` and ``state_fd`` live as long as the ``with``."""

    def __init__(self, fd: int, state_fd: int | None, root_id: str) -> None:
        self.fd = fd
        self._state_fd = state_fd
        self.root_id = root_id
        self._mounts: dict[str, str] | None = None
        self._kept: list[int] = []

    @property
    def marked(self) -> bool:
        """Whether it has a folder of its own; if not, there was no room for one yet."""
        return self._state_fd is not None

    @property
    def state_fd(self) -> int:
        """Its own folder. Raises OSError (ENOSPC) if there was no room for one yet."""
        if self._state_fd is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), STATE_DIRECTORY)
        return self._state_fd

    def mark(self) -> None:
        """Mark it, if there is no marker yet and room for one by now. Raises OSError."""
        if self._state_fd is None:
            self._state_fd = _mark(self.fd, self.root_id)

    def find(self, task_id: str) -> TaskDirectory | None:
        """The task directory, or None if there is none. It is kept open: its inode is given to no other one meanwhile.

        Raises TaskRefused (UNSAFE_DIRECTORY) if the name is a symlink, a file or a mount point, or if
        something is mounted inside; OSError otherwise.
        """
        try:
            status = os.stat(task_id, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a directory"
            raise _unsafe(task_id, f"{task_id} in the storage root is {kind}; look at it and remove it by hand")
        try:
            fd = open_directory(self.fd, task_id)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.ELOOP, errno.ENOTDIR):
                raise _unsafe(
                    task_id, f"{task_id} in the storage root is a mount point or a link; it is left alone"
                ) from None
            raise
        self.keep(fd)
        found = identity.look(fd, "")
        mounted = self._mounted(task_id)
        if mounted is not None:
            raise _unsafe(task_id, f"something is mounted inside {task_id} (at {mounted}); unmount it first")
        return TaskDirectory(task_id, found)

    def keep(self, fd: int) -> None:
        """Keep a descriptor open until the root is closed."""
        self._kept.append(fd)

    def stands_on_it(self, directory: TaskDirectory) -> bool:
        """Whether a directory lies on the root's own mount, with nothing mounted in it. Raises OSError."""
        try:
            os.close(open_directory(self.fd, directory.task_id))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        return directory.task_id not in mounts_below(self.fd)

    def close(self) -> None:
        """Close what is open, but for ``fd``."""
        self.let_go()
        if self._state_fd is not None:
            os.close(self._state_fd)
            self._state_fd = None

    def let_go(self) -> None:
        """Close what is kept open."""
        while self._kept:
            os.close(self._kept.pop())

    def measure(self, task_id: str) -> Census | None:
        """The counts of a task directory as it is now; None if there is none. Raises OSError."""
        try:
            return census.take(self.fd, task_id)
        except FileNotFoundError:
            return None

    def has(self, task_id: str) -> bool:
        """Whether anything has that name. Raises OSError."""
        return _lstat(self.fd, task_id) is not None

    def is_back(self, task_id: str) -> bool:
        """Whether there is a real directory of that name, whoever may read it: no symlink, no file, no mount."""
        try:
            found = identity.look(self.fd, task_id)
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.mode) and self._mounted(task_id) is None

    def _mounted(self, task_id: str) -> str | None:
        if self._mounts is None:  # one look for all tasks of one operation; the walk itself never crosses a mount
            self._mounts = mounts_below(self.fd)
        return self._mounts.get(task_id)

    def names(self, *, links: bool = False) -> Iterator[str]:
        """The names of everything in the root that looks like a task directory, in no order.

        With ``links``, also of symbolic links in the place of one.
        """
        with os.scandir(self.fd) as entries:
            for entry in entries:
                if is_task_id(entry.name) and (entry.is_dir(follow_symlinks=False) or (links and entry.is_symlink())):
                    yield entry.name


class StorageRoot:
    """The folder of the task directories. ``expected_id`` gives the identity the catalog knows, and may raise.

    ``unmarked`` gives the fingerprint of a root that has no marker yet, for want of room, and may raise.
    """

    def __init__(
        self, path: Path, expected_id: Callable[[], str], unmarked: Callable[[], str | None] = lambda: None
    ) -> None:
        self.path = path
        self._expected_id = expected_id
        self._unmarked = unmarked
        self._fault: str | None = None
        self._fault_until = 0.0

    def note(self, error: SweepdError) -> None:
        """If the file system itself failed, refuse everything until ``probe`` finds that it works again."""
        if isinstance(error, RootUnavailable) and "errno" in error.details:  # as faults.explain has it
            self._fault_until = clock.monotonic() + _FAULT_S
            self._fault = str(error)

    def probe(self) -> FileSystem:
        """See that the root is there, and after a fault that it can be written to. Raises as ``open`` does.

        Gives how full its file system is.
        """
        if self._fault is None or clock.monotonic() < self._fault_until:
            with self.open() as root:
                try:
                    return space.look(root.fd)
                except OSError as error:
                    raise RootUnavailable(f"the storage root {self.path} does not tell its space: {error}") from error
        reason, self._fault = self._fault, None
        try:
            with self.open() as root:
                try:
                    durable.write_json(root.state_fd, _PROBE, {"probed_at": clock.now().isoformat()})
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):  # full is not broken
                        raise
                return space.look(root.fd)
        except OSError as error:
            self._fault_until = clock.monotonic() + _FAULT_S
            self._fault = reason
            raise RootUnavailable(reason) from error

    @contextmanager
    def open(self) -> Iterator[OpenRoot]:
        """Open the root and prove its identity. Raises RootUnavailable, and whatever ``expected_id`` raises."""
        if self._fault is not None:
            raise RootUnavailable(self._fault)
        expected = self._expected_id()
        fd = _open(self.path)
        try:
            opened = OpenRoot(fd, self._open_state(fd, expected), expected)
            try:
                yield opened
            finally:
                opened.close()
        finally:
            os.close(fd)

    def _open_state(self, fd: int, expected: str) -> int | None:
        """The folder of its own, with the right marker; None if there was no room for one yet."""
        if _identity(fd, self.path) is None:
            unmarked = self._unmarked()
            if unmarked is not None:
                if unmarked != _fingerprint(fd):
                    raise RootUnavailable(
                        f"{self.path} is another folder than the one that sweepd init has adopted: is its file system "
                        "mounted? if this is the right one, run: sweepd init --replace-root"
                    )
                return None
        state_fd = _open_state(fd, self.path)
        try:
            found = _read_marker(state_fd, self.path)
            if found != expected:
                raise RootUnavailable(
                    f"{self.path} is another storage root than the catalog knows ({found}, expected {expected}); "
                    "mount the right file system, or adopt this one with: sweepd init --replace-root"
                )
        except BaseException:
            os.close(state_fd)
            raise
        return state_fd


def read_identity(path: Path) -> str | None:
    """The id in a root's marker; None if the folder is absent or not marked. Raises RootUnavailable otherwise."""
    if not path.exists():
        return None
    fd = _open(path)
    try:
        return _identity(fd, path)
    finally:
        os.close(fd)


class NoRoom(RootUnavailable):
    """There is no room for a marker. ``fingerprint`` says which folder it is."""

    def __init__(self, message: str, fingerprint: str) -> None:
        super().__init__(message)
        self.fingerprint = fingerprint


def mark(path: Path, root_id: str | None = None) -> str:
    """Create the root if absent, mark it if unmarked, and return its id, ``root_id`` if that is given. Idempotent.

    Raises RootUnavailable, NoRoom if the file system is full.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        fd = _open(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # of two that mark it at once, the second finds the first one's id
            found = _identity(fd, path)
            if found is not None:
                return found
            root_id = root_id or str(uuid.uuid4())
            try:
                os.close(_mark(fd, root_id))
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise NoRoom(f"no room in {path} for the marker of a storage root", _fingerprint(fd)) from error
            return root_id
        finally:
            os.close(fd)
    except OSError as error:
        raise RootUnavailable(f"cannot mark {path} as a storage root: {error.strerror or error}") from error


def _mark(fd: int, root_id: str) -> int:
    """Its own folder, with a marker in it. Raises OSError."""
    with suppress(FileExistsError):
        os.mkdir(STATE_DIRECTORY, 0o700, dir_fd=fd)
    state_fd = open_directory(fd, STATE_DIRECTORY)
    try:
        durable.write_json(state_fd, MARKER, {"id": root_id, "marked_at": clock.now().isoformat(), "version": 1})
        os.fsync(fd)
    except BaseException:
        os.close(state_fd)
        raise
    return state_fd


def _fingerprint(fd: int) -> str:
    """Which folder it is, and of which file system."""
    return f"{os.fstatvfs(fd).f_fsid:x}/{identity.look(fd, '').identity}"


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RootUnavailable(
            f"cannot open the storage root {path}: {error.strerror}; it has to be a directory, and mounted"
        ) from error


def _open_state(root_fd: int, path: Path) -> int:
    try:
        return open_directory(root_fd, STATE_DIRECTORY)
    except FileNotFoundError:
        raise RootUnavailable(
            f"{path} is not marked as a storage root: not mounted, or new; if it is the right folder, run: sweepd init"
        ) from None
    except OSError as error:
        raise RootUnavailable(
            f"cannot use {path}/{STATE_DIRECTORY}: {error.strerror}; it has to be a plain directory"
        ) from error


def _identity(root_fd: int, path: Path) -> str | None:
    if _lstat(root_fd, STATE_DIRECTORY) is None:
        return None
    state_fd = _open_state(root_fd, path)
    try:
        return None if _lstat(state_fd, MARKER) is None else _read_marker(state_fd, path)
    finally:
        os.close(state_fd)


def _lstat(fd: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _read_marker(state_fd: int, path: Path) -> str:
    try:
        marker = durable.read_json(state_fd, MARKER)
    except (OSError, ValueError) as error:
        raise RootUnavailable(
            f"the marker of the storage root {path} cannot be read ({error}); restore it from a backup"
        ) from error
    if marker is None:
        raise RootUnavailable(f"{path} is not marked as a storage root; if it is the right folder, run: sweepd init")
    root_id = marker.get("id")
    if not isinstance(root_id, str):
        raise RootUnavailable(f"the marker of the storage root {path} has no id; restore it from a backup")
    return root_id


def _unsafe(task_id: str, message: str) -> TaskRefused:
    return TaskRefused(message, code=ErrorCode.UNSAFE_DIRECTORY, details={"task_id": task_id})
