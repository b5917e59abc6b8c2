"""Locks on the storage root that the kernel releases when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.storage.root import StorageRoot


@contextmanager
def exclusive(root: StorageRoot, name: str) -> Iterator[bool]:
    """Hold the lock ``name`` of this root; yields False, without waiting, if another process or thread has it.

    Raises RootUnavailable or OSError. The lock file stays behind on purpose: removing it would let two in.
    """
    with root.open() as opened:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(f"{name}.lock", flags, 0o600, dir_fd=opened.state_fd)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)
