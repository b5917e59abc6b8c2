"""Exact counts of a task directory: before its first file is removed, and for the inventory."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final

from daemon.storage.walk import Helpers, Note, traverse

# Entries that are counted together; after them a counter tells that it goes on.
_STEP: Final = 64
_BLOCK: Final = 512  # st_blocks counts units of 512 bytes, whatever the file system's block size: stat(2)


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


NOTHING: Final = Census(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A census, and the newest mtime of any file or directory in the tree, in nanoseconds since 1970."""

    census: Census
    modified_ns: int


class TooMany(Exception):
    """A tree has more entries than a counter may look at."""


class ScanEnded(Exception):
    """Measuring was ended before its time: the daemon is stopping."""


class Counter:
    """Counts trees, alone or as one of several that share them out. ``links`` are files not all of whose links
    have been seen: by device and inode, how many were seen, how many there are, and their blocks.

    With ``most``, raises TooMany after so many entries. ``tick`` is called with the number of files, in small steps,
    at least once a directory; what it raises ends the walk, as errors do: a census is exact or it is none.
    """

    leaves = False
    helpers: Helpers | None = None

    def __init__(self, most: int | None = None, tick: Callable[[int], None] | None = None) -> None:
        self.files = 0
        self.directories = 0
        self.size_bytes = 0
        self.blocks = 0
        self.modified_ns = 0
        self.links: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._most = most
        self._tick = tick

    def scan(self, fd: int, status: os.stat_result, note: Note) -> Generator[str, None, None]:
        del note
        self.enter(status)
        with os.scandir(fd) as entries:
            yield from self.count(entries)

    def enter(self, status: os.stat_result, *, counts: bool = True) -> None:
        """Take the directory's own mtime, and count it unless somebody else does."""
        self.directories += counts
        self.modified_ns = max(self.modified_ns, status.st_mtime_ns)

    def count(self, entries: Iterator[os.DirEntry[str]]) -> Generator[str, None, None]:
        """Count these entries of one directory, and yield its subdirectories."""
        more = True
        while more:
            some = list(islice(entries, _STEP))
            more = len(some) == _STEP
            inside = [entry.name for entry in some if entry.is_dir(follow_symlinks=False)]
            if inside:
                some = [entry for entry in some if not entry.is_dir(follow_symlinks=False)]
            self._add(_statuses(some))
            if self._most is not None and self.files + self.directories > self._most:
                raise TooMany
            if self._tick is not None:
                self._tick(len(some))
            yield from inside

    def _add(self, statuses: Sequence[os.stat_result]) -> None:
        size = blocks = 0
        newest = self.modified_ns
        for status in statuses:
            size += status.st_size
            if status.st_mtime_ns > newest:
                newest = status.st_mtime_ns
            if status.st_nlink == 1:
                blocks += status.st_blocks
            else:
                self.add_link((status.st_dev, status.st_ino), 1, status.st_nlink, status.st_blocks)
        self.files += len(statuses)
        self.size_bytes += size
        self.blocks += blocks
        self.modified_ns = newest

    def add_link(self, key: tuple[int, int], seen: int, links: int, blocks: int) -> None:
        """Some links of one file were seen; with the last of them its blocks count."""
        seen += self.links.get(key, (0, 0, 0))[0]
        if seen >= links:
            self.links.pop(key, None)
            self.blocks += blocks
        else:
            self.links[key] = (seen, links, blocks)

    def leave(self, parent_fd: int, name: str) -> None:
        raise NotImplementedError

    def census(self) -> Census:
        """What was counted."""
        return Census(self.files, self.directories, self.size_bytes, self.blocks * _BLOCK)

    def measurement(self) -> Measurement:
        """The same with the newest mtime."""
        return Measurement(self.census(), self.modified_ns)


def _statuses(entries: Sequence[os.DirEntry[str]]) -> list[os.stat_result]:
    """Without those that have vanished."""
    try:
        return [entry.stat(follow_symlinks=False) for entry in entries]
    except FileNotFoundError:  # an entry keeps what it was asked for once
        return [status for entry in entries if (status := _status(entry)) is not None]


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def take(parent_fd: int, name: str) -> Census:
    """Count the tree ``name`` inside the directory ``parent_fd``. Raises OSError (EXDEV: a mount lies inside)."""
    counter = Counter()
    traverse(parent_fd, name, counter)
    return counter.census()


def take_small(parent_fd: int, name: str, most: int) -> Census | None:
    """The same if the tree has at most ``most`` entries, else None."""
    counter = Counter(most)
    try:
        traverse(parent_fd, name, counter)
    except TooMany:
        return None
    return counter.census()


def measure(parent_fd: int, name: str, tick: Callable[[int], None]) -> Measurement:
    """Count as ``take`` does, with the newest mtime; ``tick`` as in Counter."""
    counter = Counter(tick=tick)
    traverse(parent_fd, name, counter)
    return counter.measurement()
