"""Removes and counts trees in a process with few descriptors, and measures its memory.

These functions run in children of ``support.processes``.
"""

from __future__ import annotations

import os
import resource
import tracemalloc
from pathlib import Path

from daemon.storage import census, locks, removal
from daemon.storage.removal import remove_tree
from daemon.storage.root import StorageRoot, mark


def count_and_remove(folder: str, name: str, descriptors: int) -> list[int]:
    """Count the tree, then remove it, with so many descriptors at most; the counts."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    held = len(os.listdir("/proc/self/fd"))
    counts = census.take(fd, name)
    remove_tree(fd, name)
    assert len(os.listdir("/proc/self/fd")) == held, "descriptors leaked"
    return list(counts.to_json().values())


def peak_memory(folder: str, name: str) -> list[int]:
    """The most bytes of Python objects alive at once: while the tree is counted, and while it is removed.

    Removal sorts 1000 entries at a time here, so that a small tree has many such stretches.
    """
    removal._SORTED = 1000  # type: ignore[misc]
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    peaks = []
    tracemalloc.start()
    for work in (census.take, remove_tree):
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        work(fd, name)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    return peaks


def hold_lock(root: str, root_id: str, name: str, ready: str, done: str) -> None:
    """Take a lock of the root, say so through the FIFO ``ready``, and hold it until ``done`` is opened."""
    with locks.exclusive(StorageRoot(Path(root), lambda: root_id), name) as held:
        assert held
        os.close(os.open(ready, os.O_WRONLY))
        os.close(os.open(done, os.O_RDONLY))


def try_lock(root: str, root_id: str, name: str) -> bool:
    """Whether the lock is to be had."""
    with locks.exclusive(StorageRoot(Path(root), lambda: root_id), name) as held:
        return held


def mark_root(path: str) -> str:
    """Mark a root; its id."""
    return mark(Path(path))
