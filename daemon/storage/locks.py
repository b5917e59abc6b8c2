"""Locks on the storage root that the kernel releases when their holder dies."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from daemon.errors import RootUnavailable
from daemon.storage.root import StorageRoot

_SAFE: Final = os.O_NOFOLLOW | os.O_CLOEXEC
_MOST: Final = 65_536
"""Bytes of a note."""


@contextmanager
def exclusive(root: StorageRoot, name: str) -> Iterator[bool]:
    """Hold the lock ``name`` of this root; yields False, without waiting, if another process or thread has it.

    Raises RootUnavailable. The lock file stays behind on purpose: removing it would let two in.
    """
    with root.open() as opened:
        try:
            fd = os.open(_file(name), os.O_RDWR | os.O_CREAT | _SAFE, 0o600, dir_fd=opened.state_fd)
        except OSError as error:
            raise RootUnavailable(f"cannot lock the storage root: {error}; see that it can be written to") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)


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
