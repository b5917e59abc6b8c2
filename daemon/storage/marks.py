"""What the storage root remembers: ids of the journal that are known to be committed, and the last believed time.

``{root}/.sweepd/marks`` is a line of 28 hexadecimal digits for each kind of id, and one of two clocks and the id of the
boot, overwritten in place: a deletion pays for three system calls and no sync. A process that is killed loses nothing
of it, a power cut a few seconds; a torn line says nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from daemon import log
from daemon.clock import Moment
from daemon.errors import RootUnavailable
from daemon.storage.reserve import with_reserve
from daemon.storage.root import OpenRoot, StorageRoot

_log = log.get(__name__)

_NAME: Final = "marks"
# The place of each in the file.
KINDS: Final = ("deletion", "sweep", "scan", "hold")
_ID: Final = re.compile(rb"[0-9a-f]{28}\n")
_LINE: Final = 29
# Microseconds since 1970 and since the boot, and the boot's id: behind all of the ids.
_MOMENT: Final = re.compile(rb"([0-9]{20}) ([0-9]{20}) ([0-9a-f]{32}|-{32})\n")
_MOMENT_LENGTH: Final = 75
_MOMENT_AT: Final = _LINE * len(KINDS)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def read(root: OpenRoot) -> dict[str, str]:
    """The marks there are, by kind. Raises OSError."""
    content = _content(root)
    lines = {kind: content[place * _LINE : (place + 1) * _LINE] for place, kind in enumerate(KINDS)}
    return {kind: line[:-1].decode("ascii") for kind, line in lines.items() if _ID.fullmatch(line)}


def _content(root: OpenRoot) -> bytes:
    if not root.marked:
        return b""
    with suppress(FileNotFoundError):
        fd = os.open(_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root.state_fd)
        try:
            return os.read(fd, _MOMENT_AT + _MOMENT_LENGTH)
        finally:
            os.close(fd)
    return b""


def write(root: OpenRoot, marks: Mapping[str, str | None], *, sync: bool = False) -> None:
    """Set these marks, None to forget one; ``sync``: so that a power cut leaves them. Raises OSError."""
    with_reserve(root, partial(_write, root, marks, sync))


def make(root: OpenRoot) -> None:
    """Give the marks their place on disk while there is room: what is overwritten later needs none. Raises OSError."""
    seen = read(root)
    write(root, {kind: seen.get(kind) for kind in KINDS})


def _write(root: OpenRoot, marks: Mapping[str, str | None], sync: bool) -> None:
    fd = os.open(_NAME, _FLAGS, 0o600, dir_fd=root.state_fd)
    try:
        for kind, committed_id in marks.items():
            line = f"{committed_id or '-' * (_LINE - 1)}\n".encode("ascii")
            os.pwrite(fd, line, KINDS.index(kind) * _LINE)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    if sync:
        os.fsync(root.state_fd)


def read_moment(root: OpenRoot) -> Moment | None:
    """Return the last moment whose clock was believed; None if there is none. Raises OSError."""
    found = _MOMENT.fullmatch(_content(root)[_MOMENT_AT:])
    if found is None:
        return None
    wall, since_boot, boot_id = found.groups()
    try:
        return Moment(_EPOCH + int(wall) * _MICROSECOND, int(since_boot) * _MICROSECOND, boot_id.decode().strip("-"))
    except OverflowError:
        return None


def write_moment(root: OpenRoot, moment: Moment) -> None:
    """Keep it, without a sync; a root that is not marked yet has no place for it. Raises OSError."""
    if not root.marked:
        return
    wall, since_boot = max((moment.wall - _EPOCH) // _MICROSECOND, 0), moment.since_boot // _MICROSECOND
    line = f"{wall:020} {since_boot:020} {moment.boot_id or '-' * 32}\n".encode("ascii")
    with_reserve(root, partial(_write_moment, root, line))


def _write_moment(root: OpenRoot, line: bytes) -> None:
    fd = os.open(_NAME, _FLAGS, 0o600, dir_fd=root.state_fd)
    try:
        os.pwrite(fd, line, _MOMENT_AT)
    finally:
        os.close(fd)


class BelievedTime:
    """The last believed time of one storage root, for ``ClockGuard``."""

    def __init__(self, root: StorageRoot) -> None:
        self._root = root

    def read(self) -> Moment | None:
        """Return it; None if there is none. Raises RootUnavailable."""
        try:
            with self._root.open() as opened:
                return read_moment(opened)
        except OSError as error:
            message = f"the time that was believed last cannot be read in the storage root: {error}; see its disk"
            raise RootUnavailable(message) from error

    def write(self, moment: Moment) -> None:
        """Keep it; what cannot be written is logged, and the moment before goes on to count."""
        try:
            with self._root.open() as opened:
                write_moment(opened, moment)
        except (RootUnavailable, OSError) as error:
            _log.warning("mark_failed", reason=str(error))
