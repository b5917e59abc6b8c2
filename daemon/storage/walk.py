"""One walk for counting and for removing: depth first, by descriptors, without recursion.

It never follows a symlink and never crosses a mount (see ``syscalls.open_directory``), holds a bounded number
of descriptors at any depth, and stays flat in memory for any number of files in one directory.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

from daemon.storage.syscalls import DIRECTORY, open_directory

# The first levels keep their listing open while a subdirectory is visited (two descriptors each); deeper levels
# read their subdirectories' names first, and only the innermost of them keep their descriptor. 48 in all.
STREAMING_LEVELS: Final = 16
HELD_DEEP_LEVELS: Final = 16
# So many subdirectories are looked up before some of them are given away.
_PENDING: Final = 32
# A writer may still be adding files while its directory is removed: how often one directory is gone through again,
# and how long the walk waits for the writer in between, at most.
MAX_RESCANS: Final = 64
_LONGEST_PAUSE_S: Final = 0.05
ITSELF: Final = "."
"""As the name of a tree: the directory itself, whatever its name is by now."""
# A directory became something else since it was listed; the re-scan of the one above sees what it is now.
_REPLACED: Final = {errno.ENOTDIR, errno.ELOOP}
# The file system itself fails: every further file would fail the same way.
_HOPELESS: Final = {errno.EIO, errno.EROFS, errno.EUCLEAN, errno.ENODEV, errno.ENXIO}

Note = Callable[[OSError], None]
"""Takes the error of one entry of a directory; the walk goes on with the others."""


class Helpers(Protocol):
    """Others who visit parts of the same tree. A directory of which they have a part is not left, and not removed."""

    def are_idle(self, depth: int) -> bool:
        """Whether one of them has nothing to do, and a directory at that depth is worth sharing. Asked often."""
        ...

    def split(self, path: Sequence[str], status: os.stat_result) -> bool:
        """Asked when a directory is entered: True if they take a share of its entries."""
        ...

    def share_out(self, path: Sequence[str], names: list[str]) -> list[str]:
        """Give some of these subdirectories away, if there are enough; the others."""
        ...


class Visitor(Protocol):
    """What a walk does. ``leaves`` says whether it wants to be told when a directory's content has been visited."""

    leaves: bool
    helpers: Helpers | None

    def scan(self, fd: int, status: os.stat_result, note: Note) -> Generator[str, None, None]:
        """Handle every non-directory of the directory behind ``fd`` and yield the names of its subdirectories.

        ``status``: the directory's own, from before anything was done to it.
        """
        ...

    def leave(self, parent_fd: int, name: str) -> None:
        """The content of the directory has been visited."""
        ...


class _Frame:
    __slots__ = ("failed", "fd", "kept", "name", "rescans", "shared", "status", "subdirectories")

    def __init__(self, name: str, fd: int, visitor: Visitor, above: list[_Frame], *, rescans: int) -> None:
        self.name = name
        self.fd: int | None = fd
        self.rescans = rescans
        self.failed: OSError | None = None
        self.shared = False
        self.kept: list[str] = []
        streaming = len(above) < STREAMING_LEVELS
        try:
            self.status = os.fstat(fd)
            helpers = visitor.helpers
            if helpers is not None and streaming and not rescans and helpers.are_idle(len(above) + 1):
                self.shared = helpers.split([*(frame.name for frame in above), name], self.status)
            listing = visitor.scan(fd, self.status, self.note)
            self.subdirectories: Iterator[str] = listing if streaming else iter(list(listing))
        except OSError as error:
            os.close(fd)
            raise _inside(name, error) from error.__cause__
        except BaseException:
            os.close(fd)
            raise

    def note(self, error: OSError) -> None:
        if error.errno in _HOPELESS:
            raise error
        if self.failed is None:
            self.failed = _inside(self.name, error)

    def share_out(self, helpers: Helpers, stack: list[_Frame]) -> None:
        names = [*self.kept, *islice(self.subdirectories, _PENDING - len(self.kept))]
        self.kept = helpers.share_out([frame.name for frame in stack], names)
        self.shared |= len(self.kept) < len(names)

    def close(self) -> None:
        if isinstance(self.subdirectories, Generator):
            self.subdirectories.close()
        self.park()

    def park(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def is_same(self, status: os.stat_result) -> bool:
        return (status.st_dev, status.st_ino) == (self.status.st_dev, self.status.st_ino)


def traverse(parent_fd: int, name: str, visitor: Visitor) -> bool:
    """Visit the tree ``name`` inside ``parent_fd``: ``scan`` each directory, ``leave`` it after its content.

    What vanishes meanwhile is skipped. If ``leave`` finds the directory not empty, it is scanned again, at most
    MAX_RESCANS times. An error that is noted does not stop the walk: the first one is raised in the end, with the
    path below ``parent_fd`` as its file name; EXDEV names a mount. False if some of it was shared out.
    """
    stack: list[_Frame] = []
    try:
        helpers = visitor.helpers
        stack.append(_enter(parent_fd, name, visitor, stack))
        while True:
            frame = stack[-1]
            try:
                if helpers is not None and len(stack) <= STREAMING_LEVELS and helpers.are_idle(len(stack)):
                    frame.share_out(helpers, stack)
                child = frame.kept.pop() if frame.kept else next(frame.subdirectories, None)
                if child is not None:
                    _descend(stack, child, visitor)
                    continue
            except OSError as error:
                raise _inside(frame.name, error) from error.__cause__
            above_fd = parent_fd if len(stack) == 1 else _revive(stack[-2], frame)
            if visitor.leaves and not frame.shared and frame.failed is None and _left(stack, above_fd, visitor):
                continue
            stack.pop().close()
            if not stack:
                if frame.failed is not None:
                    raise frame.failed
                return not frame.shared
            stack[-1].shared |= frame.shared
            if frame.failed is not None:
                stack[-1].note(frame.failed)
    except OSError as error:  # its file name is relative to the directory above the innermost one
        for frame in reversed(stack[:-1]):
            _inside(frame.name, error)
        raise
    finally:
        for frame in stack:
            frame.close()


def _left(stack: list[_Frame], above_fd: int, visitor: Visitor) -> bool:
    """Leave the innermost directory; True if it is to be visited once more."""
    frame = stack[-1]
    try:
        visitor.leave(above_fd, frame.name)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and frame.rescans < MAX_RESCANS:
            if frame.rescans:
                time.sleep(min(0.0005 * 2**frame.rescans, _LONGEST_PAUSE_S))
            return _rescan(stack, above_fd, visitor)
        if error.errno in _REPLACED and len(stack) > 1:
            return False
        if error.errno in _HOPELESS:
            raise
        error.filename = None
        frame.note(error)
    return False


def _enter(parent_fd: int, name: str, visitor: Visitor, above: list[_Frame], *, rescans: int = 0) -> _Frame:
    fd = os.open(name, DIRECTORY, dir_fd=parent_fd) if name == ITSELF else open_directory(parent_fd, name)
    return _Frame(name, fd, visitor, above, rescans=rescans)


def _descend(stack: list[_Frame], name: str, visitor: Visitor) -> None:
    frame = stack[-1]
    assert frame.fd is not None  # the top of the stack always holds its descriptor
    try:
        child = _enter(frame.fd, name, visitor, stack)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in _REPLACED:
            if not visitor.leaves:
                raise
            frame.note(error)
        return
    stack.append(child)
    far = len(stack) - 1 - HELD_DEEP_LEVELS
    if far >= STREAMING_LEVELS:
        stack[far].park()


def _rescan(stack: list[_Frame], above_fd: int, visitor: Visitor) -> bool:
    """Scan the innermost directory once more; False if it has vanished or been replaced."""
    frame = stack[-1]
    try:
        fresh = _enter(above_fd, frame.name, visitor, stack[:-1], rescans=frame.rescans + 1)
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
        if not frame.is_same(os.fstat(fd)):
            os.close(fd)
            raise moved
        frame.fd = fd
    return frame.fd


def _inside(name: str, error: OSError) -> OSError:
    """``error`` with ``name`` put before the path it names."""
    error.filename = f"{name}/{error.filename}" if isinstance(error.filename, str) else name
    return error
