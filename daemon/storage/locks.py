"""Locks on the storage root that the kernel releases when their holder dies.

A lock is one byte of the root's marker, locked through an open file description: to take one needs no new file, so it
can be had on a full disk. Where there was no room for a marker yet, a name of the kernel's own takes its place.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from daemon.errors import RootUnavailable
from daemon.storage.reserve import is_full, with_reserve
from daemon.storage.root import MARKER, OpenRoot, StorageRoot

_SAFE: Final = os.O_NOFOLLOW | os.O_CLOEXEC
_MOST: Final = 65_536
"""Bytes of a note."""
# struct flock: kind, whence, start, length, process (fcntl(2))
_FLOCK: Final = struct.Struct("@hhqqi4x")
_TAKEN: Final = {errno.EAGAIN, errno.EADDRINUSE}


@contextmanager
def exclusive(root: StorageRoot, name: str, *, signs: bool = False) -> Iterator[bool]:
    """Hold the lock ``name`` of this root; yields False, without waiting, if another process or thread has it.

    ``signs``: its holder writes into it, see ``sign``. Raises RootUnavailable.
    """
    with ExitStack() as held:
        try:
            with root.open() as opened:
                _take(held, opened, name, signs)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise RootUnavailable(
                    f"cannot lock the storage root: {error}; see that it can be written to"
                ) from error
            held.close()  # what it did get of it, while the caller may try again
            yield False
            return
        yield True


def sign(root: StorageRoot, name: str, note: Mapping[str, object]) -> None:
    """Write into the lock ``name``, which the caller holds. Raises RootUnavailable or OSError."""
    with root.open() as opened:
        fd = os.open(_file(name), os.O_RDWR | _SAFE, dir_fd=opened.state_fd)
    try:
        text = json.dumps(note).encode()
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))
    finally:
        os.close(fd)


def signed(root: StorageRoot, name: str) -> dict[str, Any] | None:
    """What the process that holds the lock ``name`` has written, its ``pid`` first of all.

    None if there is none, or if it is just being written.

    The lock is not tried, which could keep a daemon from starting: the kernel lists who holds it (proc(5), locks).
    Raises RootUnavailable or OSError.
    """
    with root.open() as opened:
        if not opened.marked:
            return None
        try:
            fd = os.open(_file(name), os.O_RDONLY | _SAFE, dir_fd=opened.state_fd)
        except FileNotFoundError:
            return None
    try:
        found = json.loads(os.pread(fd, _MOST, 0))
        holds = (found["pid"], os.fstat(fd).st_ino) in _held()
    except (ValueError, TypeError, KeyError):  # just being written, or somebody else's
        return None
    finally:
        os.close(fd)
    return found if holds else None


def _take(held: ExitStack, root: OpenRoot, name: str, signs: bool) -> None:
    """Raises OSError, one of ``_TAKEN`` if somebody has it."""
    with ExitStack() as stack:
        # First the name, which the first process has that came before there was a marker.
        try:
            named = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            named.bind("\0sweepd." + hashlib.sha256(f"{root.root_id} {name}".encode()).hexdigest())
        except OSError as error:
            if error.errno in _TAKEN or not root.marked:
                raise
        if not root.marked:
            held.push(stack.pop_all())
            return
        fd = os.open(MARKER, os.O_RDWR | _SAFE, dir_fd=root.state_fd)
        held.callback(os.close, fd)
        at = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0))
        if signs:
            _take_note(held, root, name)


def _take_note(held: ExitStack, root: OpenRoot, name: str) -> None:
    """Lock the file that the holder writes into, so that the kernel lists who it is; without room there is none."""
    flags = os.O_RDWR | os.O_CREAT | _SAFE
    try:
        fd = with_reserve(root, partial(os.open, _file(name), flags, 0o600, dir_fd=root.state_fd))
    except OSError as error:
        if not is_full(error):
            raise
        return
    held.callback(os.close, fd)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _held() -> set[tuple[int, int]]:
    """The process and the inode of every lock that is held with flock(2)."""
    held = set()
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK":  # those who wait have an arrow there
            held.add((int(fields[4]), int(fields[5].rpartition(":")[2])))
    return held


def _file(name: str) -> str:
    return f"{name}.lock"
