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
from collections.abc import Generator, Sequence
from typing import Any, Final

from daemon.storage.census import Counter, ScanEnded, TooMany
from daemon.storage.pacing import Pace
from daemon.storage.parent import Parent, Share, Watch
from daemon.storage.removal import Remover, Stretches, by_inode, remove_tree
from daemon.storage.syscalls import open_directory
from daemon.storage.walk import Note, traverse

MESSAGE_BYTES: Final = 128 * 1024
_LINKS_AT_ONCE: Final = 1000
# One of several trees is given back to be shared out when it has more files than this and others are idle.
_ALONE: Final = 2000
# Whether another worker is idle is seen to after so many entries of a share.
_LOOK_EVERY: Final = 100
# Of the path in an error, the end says most; the whole has to fit into a message.
_PATH_CHARACTERS: Final = 500
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
_IOPRIO_IDLE: Final = 3 << 13  # IOPRIO_CLASS_IDLE, include/uapi/linux/ioprio.h


class _Counting(Counter):
    """With ``pace`` it measures for a scan: at that pace, and until scans are to end."""

    def __init__(self, parent: Parent, pace: Pace | None = None) -> None:
        super().__init__(tick=None if pace is None else self._go_on)
        self.helpers = self._parent = parent
        self._pace = pace

    def _go_on(self, files: int) -> None:
        if self._pace is None:
            return
        if self._parent.scans_end():
            raise ScanEnded
        self._pace.pause(files)

    def scan(self, fd: int, status: os.stat_result, note: Note) -> Generator[str, None, None]:
        del note
        return self._scan(fd, status, self._parent.take_share())

    def _scan(self, fd: int, status: os.stat_result, share: Share | None) -> Generator[str, None, None]:
        self.enter(status, counts=share is None or share.number == 0)
        with os.scandir(fd) as entries:
            yield from self.count(entries if share is None else filter(share.has, entries))


class _Alone(_Counting):
    """Counts one of many trees without sharing it out; raises TooMany when that would be better."""

    def __init__(self, parent: Parent, pace: Pace | None) -> None:
        super().__init__(parent, pace)
        self.helpers = None
        self._tick = self._go_on
        self._seen = 0

    def _go_on(self, files: int) -> None:
        super()._go_on(files)
        self._seen += files
        if self._seen > _ALONE and self._parent.are_idle(0):
            raise TooMany


class _Removing(Remover):
    def __init__(self, parent: Parent, pace: Pace, base_fd: int, *, measure: bool) -> None:
        super().__init__(base_fd, pace=pace, measure=measure, removed=parent.removed)
        self.helpers = self._parent = parent

    def scan(self, fd: int, status: os.stat_result, note: Note) -> Generator[str, None, None]:
        del status
        return self._scan(fd, note, self._parent.take_share())

    def _scan(self, fd: int, note: Note, share: Share | None) -> Generator[str, None, None]:
        with os.scandir(fd) as entries:
            stretches = (
                by_inode(entries) if share is None else self._halving(by_inode(filter(share.has, entries)), share)
            )
            yield from self.remove(fd, stretches, note)

    def _halving(self, stretches: Stretches, share: Share) -> Stretches:
        """Give half of what is left of the share away whenever another worker is idle."""
        for stretch in stretches:
            for start in range(0, len(stretch), _LOOK_EVERY):
                self._parent.halve(share, len(stretch) - start)
                yield [entry for entry in stretch[start : start + _LOOK_EVERY] if share.has(entry)]


def _open(base_fd: int, path: Sequence[str]) -> int:
    fd = os.dup(base_fd)
    for name in path:
        try:
            inner = open_directory(fd, name)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _work(parent: Parent, pace: Pace, base_fd: int, unit: dict[str, Any]) -> dict[str, Any]:
    """Do one unit; the last message about it. An error has errno, text and path."""
    counting = _Counting(parent, pace if unit["scan"] else None)
    each: list[Any] = []
    removing = _Removing(parent, pace, base_fd, measure=unit["measure"])
    names: list[str] = unit["names"]
    share = None if unit["share"] is None else Share(unit["path"], names[0], *unit["share"])
    error: OSError | None = None
    try:
        fd = _open(base_fd, unit["path"])
    except OSError as failed:
        # What was to be removed may be gone; what was to be counted is not to vanish.
        fd, error = -1, failed if unit["count"] or failed.errno != errno.ENOENT else None
    if fd >= 0:
        try:
            while names:
                parent.begin(unit["path"], share)
                if share is None and not unit["each"] and parent.are_idle(0):
                    names = parent.share_out((), names)
                name = names.pop()
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
    census = counting.census()
    counts = [census.files, census.directories, census.size_bytes, census.freed_bytes, counting.modified_ns]
    return [name, counts, None]


def _remove(fd: int, name: str, remover: _Removing, share: Share | None) -> None:
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
    watch = Watch(pace)
    parent = Parent(connection, idle, watch)
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
