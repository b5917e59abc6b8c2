"""What a child process tells the daemon: how far it is, and what it gives away to others that are idle."""

from __future__ import annotations

import errno
import json
import mmap
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from daemon.storage.pacing import Pace
from daemon.storage.walk import STREAMING_LEVELS

LARGE_DIRECTORY: Final = 256 * 1024
"""A directory so large (its own size, not that of its files) is shared by its entries."""
SCANS_END: Final = 128
"""In the shared page: not 0 when measuring is to end at once."""
# Inodes made together lie together on disk: a share takes runs of so many (as a power of two).
_RUN: Final = 7
# A share of so many entries is worth the time that another worker takes to find its half of them.
_HALVED: Final = 1000
# A share is halved until there are so many of them: each lists the whole directory.
_MOST_SHARES: Final = 64
# Trees given away at once at most.
_BUNDLE: Final = 16
_SIGN_EVERY_S: Final = 0.2
_LOOK_EVERY_S: Final = 0.05


class Watch:
    """Tells how long this process ran, by the kernel's books: it waited for the rest of the time.

    Waiting for the pace counts as running: more processes would not help. Where the kernel keeps no such books, it
    ran all the time.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        try:
            self._fd = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._at, self._had_run = time.monotonic(), self._ran_s()

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap, and for how many of them this process ran."""
        now, ran = time.monotonic(), self._ran_s()
        lap = (now - self._at, ran - self._had_run)
        self._at, self._had_run = now, ran
        return lap

    def _ran_s(self) -> float:
        if self._fd < 0:
            return time.monotonic()
        return int(os.pread(self._fd, 100, 0).split()[0]) / 1e9 + self._pace.slept_s


@dataclass(slots=True)
class Share:
    """A part of a large directory: the runs of inodes whose number, modulo ``count``, is ``number``."""

    above: Sequence[str]
    name: str
    number: int
    count: int

    def has(self, entry: os.DirEntry[str]) -> bool:
        """Whether the entry belongs to it."""
        return (entry.inode() >> _RUN) % self.count == self.number


class Parent:
    """The daemon's end, as a helper of the walk: who takes what is given away is its business."""

    def __init__(self, connection: socket.socket, idle: mmap.mmap, watch: Watch) -> None:
        self._connection = connection
        self._idle = idle
        self._watch = watch
        self._above: Sequence[str] = ()
        self._share: Share | None = None
        self._told_at = self._looked_at = 0.0
        self._files = 0
        self._size = 0

    def are_idle(self, depth: int) -> bool:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._see_daemon()
        return self._idle[0] != 0 and len(self._above) + depth <= STREAMING_LEVELS

    def split(self, path: Sequence[str], status: os.stat_result) -> bool:
        if status.st_size < LARGE_DIRECTORY or self._share is not None:
            return False
        self._share = Share([*self._above, *path[:-1]], path[-1], 0, 1 + max(1, self._idle[0]))
        for number in range(1, self._share.count):
            self._give_share(self._share, number)
        return True

    def halve(self, share: Share, entries: int) -> None:
        """Give half of a share away, which has so many entries left, if that is worth it and another worker is idle."""
        if self._idle[0] == 0 or entries < _HALVED or share.count >= _MOST_SHARES:
            return
        share.count *= 2
        self._give_share(share, share.number + share.count // 2)

    def share_out(self, path: Sequence[str], names: list[str]) -> list[str]:
        number = min(_BUNDLE, len(names) // 2)
        if number == 0:
            return names
        self._give([*self._above, *path], names[-number:], None)
        return names[:-number]

    def take_share(self) -> Share | None:
        """Which share of the directory that is entered now is this worker's; None if all of it is."""
        share, self._share = self._share, None
        return share

    def begin(self, above: Sequence[str], share: Share | None) -> None:
        """The next tree lies below ``above``; of its top directory a share only, if that is given."""
        self._above = above
        self._share = share

    def scans_end(self) -> bool:
        """Whether the daemon wants no measuring any more."""
        return self._idle[SCANS_END] != 0

    def removed(self, files: int, size: int) -> None:
        """Tell now and then how many files went; the end of the daemon is noticed by it."""
        self._files += files
        self._size += size
        now = time.monotonic()
        if now - self._told_at >= _SIGN_EVERY_S:
            self._told_at = now
            self.send(self.sign())

    def _see_daemon(self) -> None:
        """End with the daemon, also where there is nothing to tell it."""
        try:
            if not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                raise BrokenPipeError(errno.EPIPE, "the daemon is gone")
        except BlockingIOError:
            return

    def sign(self) -> dict[str, Any]:
        """What was done since the last sign, and for how long this process ran."""
        worked, ran = self._watch.lap()
        sign = {"files": self._files, "size": self._size, "worked": worked, "ran": ran}
        self._files = self._size = 0
        return sign

    def send(self, message: dict[str, Any]) -> None:
        self._connection.sendall(json.dumps(message).encode())

    def _give_share(self, share: Share, number: int) -> None:
        self._give(share.above, [share.name], (number, share.count))

    def _give(self, path: Sequence[str], names: Sequence[str], share: tuple[int, int] | None) -> None:
        self._idle[0] = 0
        self.send({"path": list(path), "names": list(names), "share": share})
