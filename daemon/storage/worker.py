"""A child process that counts and removes parts of large trees for the daemon: ``python -m daemon.storage.worker FD``.

It gets descriptors and names over its socket, never paths, and imports little, so that it starts fast and stays
small. While it works it shares out what it has not begun when another worker is idle, tells how far it is, and ends
when the daemon is gone.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

from daemon.storage.census import Counter, ScanEnded, TooMany
from daemon.storage.pacing import Pace
from daemon.storage.removal import Remover, remove_tree
from daemon.storage.syscalls import open_directory
from daemon.storage.walk import STREAMING_LEVELS, Note, traverse

# A directory so large (its own size, not that of its files) is shared by its entries.
LARGE_DIRECTORY: Final = 256 * 1024
# Inodes made together lie together on disk: a share takes runs of so many (as a power of two).
_RUN: Final = 7
# Subdirectories given away at once at most.
_BUNDLE: Final = 16
_SIGN_EVERY_S: Final = 0.2
_LOOK_EVERY_S: Final = 0.05
MESSAGE_BYTES: Final = 128 * 1024
_LINKS_AT_ONCE: Final = 1000
SCANS_END: Final = 128
"""In the shared page: not 0 when measuring is to end at once."""
# One of several trees is given back to be shared out when it has more files than this and others are idle.
_ALONE: Final = 2000
# Of the path in an error, the end says most; the whole has to fit into a message.
_PATH_CHARACTERS: Final = 500
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_IOPRIO_IDLE: Final = 3 << 13  # IOPRIO_CLASS_IDLE, include/uapi/linux/ioprio.h


class _Watch:
    """Tells the time that this process works from the time that it waits for the disk, by the kernel's books.

    Waiting for a processor or for the pace is work: more processes would not help. Where the kernel keeps no
    such books, everything is.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        try:
            self._fd = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._at, self._was_busy = time.monotonic(), self._busy()

    def lap(self) -> tuple[float, float]:
        """Seconds since the last lap, and how many of them this process was busy."""
        now, busy = time.monotonic(), self._busy()
        lap = (now - self._at, busy - self._was_busy)
        self._at, self._was_busy = now, busy
        return lap

    def _busy(self) -> float:
        if self._fd < 0:
            return time.monotonic()
        running, runnable = os.pread(self._fd, 100, 0).split()[:2]
        return (int(running) + int(runnable)) / 1e9 + self._pace.slept_s


class _Parent:
    """The daemon's end, as a helper of the walk: who takes what is given away is its business."""

    def __init__(self, connection: socket.socket, idle: mmap.mmap, watch: _Watch) -> None:
        self._connection = connection
        self._idle = idle
        self._watch = watch
        self._above: Sequence[str] = ()
        self._share: tuple[int, int] | None = None
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
        shares = 1 + max(1, self._idle[0])
        for number in range(1, shares):
            self._give(path[:-1], path[-1:], (number, shares))
        self._share = (0, shares)
        return True

    def share_out(self, path: Sequence[str], pending: Iterator[str]) -> list[str]:
        names = list(islice(pending, 2 * _BUNDLE))
        given, kept = names[: (len(names) + 1) // 2], names[(len(names) + 1) // 2 :]
        self._give(path, given, None)
        return kept

    def take_share(self) -> tuple[int, int] | None:
        """Which share of the directory that is entered now is this worker's."""
        share, self._share = self._share, None
        return share

    def begin(self, above: Sequence[str], share: tuple[int, int] | None) -> None:
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
        """What was done since the last sign, and how much of the time this process was busy with it."""
        worked, busy = self._watch.lap()
        sign = {"files": self._files, "size": self._size, "worked": worked, "busy": busy}
        self._files = self._size = 0
        return sign

    def send(self, message: dict[str, Any]) -> None:
        self._connection.sendall(json.dumps(message).encode())

    def _give(self, path: Sequence[str], names: Sequence[str], share: tuple[int, int] | None) -> None:
        self._idle[0] = 0
        self.send({"path": [*self._above, *path], "names": list(names), "share": share})


def _shared(entries: Iterator[os.DirEntry[str]], share: tuple[int, int] | None) -> Iterator[os.DirEntry[str]]:
    if share is None:
        return entries
    number, shares = share
    return (entry for entry in entries if (entry.inode() >> _RUN) % shares == number)


class _Counting(Counter):
    """With ``pace`` it measures for a scan: at that pace, and until scans are to end."""

    def __init__(self, parent: _Parent, pace: Pace | None = None) -> None:
        super().__init__(tick=None if pace is None else self._go_on)
        self.helpers = self._parent = parent
        self._pace = pace

    def _go_on(self, files: int) -> None:
        if self._pace is None:
            return
        if self._parent.scans_end():
            raise ScanEnded
        self._pace.pause(files)

    def scan(self, fd: int, note: Note) -> Generator[str, None, None]:
        del note
        return self._scan(fd, self._parent.take_share())

    def _scan(self, fd: int, share: tuple[int, int] | None) -> Generator[str, None, None]:
        self.directories += share is None or share[0] == 0
        self.enter(fd)
        with os.scandir(fd) as entries:
            yield from self.count(_shared(entries, share))


class _Alone(_Counting):
    """Counts one of many trees without sharing it out; raises TooMany when that would be better."""

    def __init__(self, parent: _Parent, pace: Pace | None) -> None:
        super().__init__(parent, pace)
        self.helpers = None
        self._tick = self._go_on
        self._seen = 0

    def _go_on(self, files: int) -> None:
        super()._go_on(files)
        self._seen += files
        if self._parent.are_idle(0) and self._seen > _ALONE:
            raise TooMany


class _Removing(Remover):
    def __init__(self, parent: _Parent, pace: Pace, *, measure: bool) -> None:
        super().__init__(pace=pace, measure=measure, removed=parent.removed)
        self.helpers = self._parent = parent

    def scan(self, fd: int, note: Note) -> Generator[str, None, None]:
        return self._scan(fd, note, self._parent.take_share())

    def _scan(self, fd: int, note: Note, share: tuple[int, int] | None) -> Generator[str, None, None]:
        with os.scandir(fd) as entries:
            yield from self.remove(fd, _shared(entries, share), note)


def _open(base_fd: int, path: Sequence[str]) -> int:
    fd = os.dup(base_fd)
    for name in path:
        try:
            inner = open_directory(fd, name)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _work(parent: _Parent, pace: Pace, base_fd: int, unit: dict[str, Any]) -> dict[str, Any]:
    """Do one unit; the last message about it. An error has errno, text and path."""
    counting = _Counting(parent, pace if unit["scan"] else None)
    each: list[Any] = []
    removing = _Removing(parent, pace, measure=unit["measure"])
    share = None if unit["share"] is None else (int(unit["share"][0]), int(unit["share"][1]))
    error: OSError | None = None
    try:
        fd = _open(base_fd, unit["path"])
    except OSError as failed:
        # What was to be removed may be gone; what was to be counted is not to vanish.
        fd, error = -1, failed if unit["count"] or failed.errno != errno.ENOENT else None
    if fd >= 0:
        try:
            for name in unit["names"]:
                parent.begin(unit["path"], share)
                try:
                    if unit["each"]:
                        each.append(_measure(fd, name, _Alone(parent, pace if unit["scan"] else None)))
                    elif unit["count"]:
                        traverse(fd, name, counting)
                    else:
                        _remove(fd, name, removing, share)
                except BrokenPipeError:
                    raise
                except ScanEnded:
                    break
                except OSError as failed:
                    if failed.errno == errno.ENOENT and not unit["count"]:
                        continue
                    error = error or failed
                    if unit["count"]:
                        break
        finally:
            os.close(fd)
    links = [[*key, *seen] for key, seen in counting.links.items()]
    for start in range(0, len(links), _LINKS_AT_ONCE):
        parent.send({"links": links[start : start + _LINKS_AT_ONCE]})
    done = [counting.files, counting.directories, counting.size_bytes, counting.blocks, counting.modified_ns]
    return {
        **parent.sign(),
        "done": done,
        "each": each,
        "error": None if error is None else [error.errno, error.strerror, error.filename],
    }


def _measure(fd: int, name: str, counting: _Alone) -> list[Any]:
    """Name, counts, error; neither of the two if the tree is to be shared out."""
    try:
        traverse(fd, name, counting)
    except TooMany:
        return [name, None, None]
    except BrokenPipeError:
        raise
    except OSError as failed:
        path = failed.filename if isinstance(failed.filename, str) else name
        return [name, None, [failed.errno, failed.strerror, path[-_PATH_CHARACTERS:]]]
    return [name, [*asdict(counting.census()).values(), counting.modified_ns], None]


def _remove(fd: int, name: str, remover: _Removing, share: tuple[int, int] | None) -> None:
    if share is None:
        remove_tree(fd, name, remover)
        return
    try:
        traverse(fd, name, remover)
    except OSError as error:  # the other shares are still at it: the directory cannot go yet
        if error.filename != name:
            raise


def _be_polite() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (OSError, AttributeError):
        os.nice(19)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:  # best effort: many schedulers of disks have no classes
        ctypes.CDLL(None).syscall(ctypes.c_long(number), 1, 0, _IOPRIO_IDLE)


def main() -> None:
    """Serve units until the daemon closes the socket."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the daemon, which finishes what it is at
    connection = socket.socket(fileno=int(sys.argv[1]))
    idle = mmap.mmap(int(sys.argv[2]), mmap.PAGESIZE)
    if sys.argv[3] == "idle":
        _be_polite()
    rate = None if sys.argv[4] == "-" else float(sys.argv[4])
    pace = Pace(rate, (idle, int(sys.argv[2])))
    watch = _Watch(pace)
    parent = _Parent(connection, idle, watch)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 1)
            if not message:
                return
            watch.lap()  # it was idle until now
            try:
                last = _work(parent, pace, descriptors[0], json.loads(message))
            finally:
                os.close(descriptors[0])
            parent.send(last)
        except (BrokenPipeError, ConnectionResetError):
            return


if __name__ == "__main__":
    main()
