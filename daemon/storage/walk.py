"""One walk for counting and for removing: depth first, by descriptors, without recursion.

It never follows a symlink and never crosses a mount (see ``syscalls.open_directory``), holds a bounded number
of descriptors at any depth, and stays flat in memory for any number of files in one directory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterator

from daemon.storage.syscalls import DIRECTORY, open_directory

# The first levels keep their listing open while a subdirectory is visited (two descriptors each); deeper levels
# read their subdirectories' names first, and only the innermost of them keep their descriptor. 48 in all.
STREAMING_LEVELS = 16
HELD_DEEP_LEVELS = 16
# A writer may still be adding files while its directory is removed: how often one directory is gone through again.
MAX_RESCANS = 64
# A directory became something else since it was listed; the re-scan of the one above sees what it is now.
_REPLACED = {errno.ENOTDIR, errno.ELOOP}

Scan = Callable[[int], Generator[str, None, None]]
"""Handles every non-directory of the directory behind a descriptor and yields the names of its subdirectories."""
Leave = Callable[[int, str], None]
"""Called with the parent's descriptor and the name once a directory's content has been visited."""


class _Frame:
    __slots__ = ("fd", "identity", "name", "rescans", "subdirectories")

    def __init__(self, name: str, fd: int, scan: Scan, *, streaming: bool, rescans: int) -> None:
        self.name = name
        self.fd: int | None = fd
        self.rescans = rescans
        try:
            status = os.fstat(fd)
            self.identity = (status.st_dev, status.st_ino)
            listing = scan(fd)
            self.subdirectories: Iterator[str] = listing if streaming else iter(list(listing))
        except OSError as error:
            os.close(fd)
            raise _inside(name, error) from error.__cause__
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        if isinstance(self.subdirectories, Generator):
            self.subdirectories.close()
        self.park()

    def park(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def traverse(parent_fd: int, name: str, scan: Scan, leave: Leave | None = None) -> None:
    """Visit the tree ``name`` inside ``parent_fd``: ``scan`` each directory, ``leave`` it after its content.

    What vanishes meanwhile is skipped. If ``leave`` finds the directory not empty, it is scanned again, at most
    MAX_RESCANS times. Raises OSError with the path below ``parent_fd`` as its file name; EXDEV names a mount.
    """
    stack: list[_Frame] = []
    try:
        stack.append(_enter(parent_fd, name, scan, depth=0))
        while stack:
            frame = stack[-1]
            try:
                child = next(frame.subdirectories, None)
                if child is not None:
                    _descend(stack, child, scan)
                    continue
            except OSError as error:
                raise _inside(frame.name, error) from error.__cause__
            above_fd = parent_fd if len(stack) == 1 else _revive(stack[-2], frame)
            if leave is not None:
                try:
                    leave(above_fd, frame.name)
                except OSError as error:
                    if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and frame.rescans < MAX_RESCANS:
                        if _rescan(stack, above_fd, scan):
                            continue
                    elif error.errno not in _REPLACED or len(stack) == 1:
                        raise
            stack.pop().close()
    except OSError as error:  # its file name is relative to the directory above the innermost one
        for frame in reversed(stack[:-1]):
            _inside(frame.name, error)
        raise
    finally:
        for frame in stack:
            frame.close()


def _enter(parent_fd: int, name: str, scan: Scan, *, depth: int, rescans: int = 0) -> _Frame:
    return _Frame(name, open_directory(parent_fd, name), scan, streaming=depth < STREAMING_LEVELS, rescans=rescans)


def _descend(stack: list[_Frame], name: str, scan: Scan) -> None:
    parent_fd = stack[-1].fd
    assert parent_fd is not None  # the top of the stack always holds its descriptor
    try:
        child = _enter(parent_fd, name, scan, depth=len(stack))
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in _REPLACED:
            return
        raise
    stack.append(child)
    far = len(stack) - 1 - HELD_DEEP_LEVELS
    if far >= STREAMING_LEVELS:
        stack[far].park()


def _rescan(stack: list[_Frame], above_fd: int, scan: Scan) -> bool:
    """Scan the innermost directory once more; False if it has vanished or been replaced."""
    frame = stack[-1]
    try:
        fresh = _enter(above_fd, frame.name, scan, depth=len(stack) - 1, rescans=frame.rescans + 1)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in _REPLACED and len(stack) > 1:
            return False
        raise
    frame.close()
    stack[-1] = fresh
    return True


def _revive(frame: _Frame, child: _Frame) -> int:
    """The descriptor of ``frame``, reached again through its child's ``..`` and proven to be the same directory."""
    if frame.fd is None:
        assert child.fd is not None
        moved = OSError(errno.EAGAIN, "the directory was moved while it was being walked", child.name)
        try:
            fd = os.open("..", DIRECTORY, dir_fd=child.fd)
        except FileNotFoundError:
            raise moved from None
        except OSError as error:
            error.filename = child.name
            raise
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != frame.identity:
            os.close(fd)
            raise moved
        frame.fd = fd
    return frame.fd


def _inside(name: str, error: OSError) -> OSError:
    """``error`` with ``name`` put before the path it names."""
    error.filename = f"{name}/{error.filename}" if isinstance(error.filename, str) else name
    return error
