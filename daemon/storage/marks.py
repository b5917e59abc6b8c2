"""What the storage root remembers of the journal: ids that are known to be committed, one of each kind.

``{root}/.sweepd/marks`` is a line of 28 hexadecimal digits for each kind, overwritten in place: a deletion pays for
three system calls and no sync. A process that is killed loses nothing of it, a power cut a few seconds; a torn line
says nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from daemon.storage.reserve import with_reserve
from daemon.storage.root import OpenRoot

_NAME: Final = "marks"
# The place of each in the file.
KINDS: Final = ("deletion", "sweep", "scan", "hold")
_ID: Final = re.compile(rb"[0-9a-f]{28}\n")
_LINE: Final = 29
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def read(root: OpenRoot) -> dict[str, str]:
    """The marks there are, by kind. Raises OSError."""
    content = b""
    if not root.marked:
        return {}
    with suppress(FileNotFoundError):
        fd = os.open(_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root.state_fd)
        try:
            content = os.read(fd, _LINE * len(KINDS))
        finally:
            os.close(fd)
    lines = {kind: content[place * _LINE : (place + 1) * _LINE] for place, kind in enumerate(KINDS)}
    return {kind: line[:-1].decode("ascii") for kind, line in lines.items() if _ID.fullmatch(line)}


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
