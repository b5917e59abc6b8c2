"""Exact counts of small directories, within a bounded time."""

from __future__ import annotations

import os
from collections.abc import Generator

from daemon.storage import census
from daemon.storage.census import Census
from daemon.storage.walk import traverse


class _TooMany(Exception):
    pass


def count_small(parent_fd: int, name: str, most: int) -> Census | None:
    """The census of the tree if it has at most ``most`` entries, else None. Raises OSError as the census does."""
    seen = 0

    def scan(fd: int) -> Generator[str, None, None]:
        nonlocal seen
        with os.scandir(fd) as entries:
            for entry in entries:
                seen += 1
                if seen > most:
                    raise _TooMany
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name

    try:
        traverse(parent_fd, name, scan)
    except _TooMany:
        return None
    return census.take(parent_fd, name)
