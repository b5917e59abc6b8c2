"""Exact counts of a task directory, taken before its first file is removed."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass

from daemon.storage.walk import traverse

_BLOCK = 512  # st_blocks counts units of 512 bytes, whatever the file system's block size: stat(2)


@dataclass(frozen=True, slots=True)
class Census:
    """What a tree holds.

    ``files``: everything that is not a directory (symlinks, sockets and devices included).
    ``directories``: directories, the top one included.
    ``size_bytes``: the files' apparent sizes added up, as ``ls -l`` shows them.
    ``freed_bytes``: allocated bytes that removal gives back: a hard-linked file counts only
    if every one of its links lies inside the tree.
    """

    files: int
    directories: int
    size_bytes: int
    freed_bytes: int

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, int]) -> Census:
        return cls(data["files"], data["directories"], data["size_bytes"], data["freed_bytes"])


NOTHING = Census(0, 0, 0, 0)


def take(parent_fd: int, name: str) -> Census:
    """Count the tree ``name`` inside the directory ``parent_fd``. Raises OSError (EXDEV: a mount lies inside)."""
    files = directories = size = blocks = 0
    links_seen: dict[tuple[int, int], int] = {}

    def scan(fd: int) -> Generator[str, None, None]:
        nonlocal files, directories, size, blocks
        directories += 1
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                files += 1
                size += status.st_size
                if status.st_nlink > 1:
                    key = (status.st_dev, status.st_ino)
                    seen = links_seen.get(key, 0) + 1
                    if seen < status.st_nlink:
                        links_seen[key] = seen
                        continue
                    links_seen.pop(key, None)
                blocks += status.st_blocks

    traverse(parent_fd, name, scan)
    return Census(files, directories, size, blocks * _BLOCK)
