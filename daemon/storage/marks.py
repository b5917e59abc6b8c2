"""What the storage root remembers of the journal: ids that are known to be committed, one of each kind.

``{root}/.sweepd/{kind}.mark`` holds 28 hexadecimal digits, overwritten in place: a deletion pays for three system calls
and no sync. A process that is killed loses nothing of it, a power cut a few seconds; a torn mark says nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from daemon.storage import removal
from daemon.storage.root import OpenRoot

_SUFFIX: Final = ".mark"
_ID: Final = re.compile(rb"[0-9a-f]{28}\n")
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def read(root: OpenRoot, kinds: Iterable[str]) -> dict[str, str]:
    """The marks there are, by kind. Raises OSError."""
    found = {}
    for kind in kinds:
        with suppress(FileNotFoundError):
            fd = os.open(kind + _SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root.state_fd)
            try:
                content = os.read(fd, 64)
            finally:
                os.close(fd)
            if _ID.fullmatch(content):
                found[kind] = content[:-1].decode("ascii")
    return found


def write(root: OpenRoot, marks: Mapping[str, str], *, sync: bool = False) -> None:
    """Set these marks; ``sync``: so that a power cut leaves them. Raises OSError."""
    for kind, committed_id in marks.items():
        fd = os.open(kind + _SUFFIX, _FLAGS, 0o600, dir_fd=root.state_fd)
        try:
            os.pwrite(fd, committed_id.encode("ascii") + b"\n", 0)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
    if sync and marks:
        os.fsync(root.state_fd)


def clear(root: OpenRoot, kinds: Iterable[str]) -> None:
    """Forget these marks. Raises OSError."""
    for kind in kinds:
        with suppress(FileNotFoundError):
            removal.remove_file(root.state_fd, kind + _SUFFIX)
    os.fsync(root.state_fd)
