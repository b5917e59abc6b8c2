"""The demonstration's own folder: proven to be its own before anything in it is cleared."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from daemon.errors import StartupRefused
from daemon.storage.removal import remove_tree

_MARK: Final = ".sweepd-demo"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Have ``folder`` for a demo: it is new, empty, or an earlier demo's, and no other one runs in it.

    Raises StartupRefused: what somebody else has made there would be gone.
    """
    try:
        mark = _open_mark(folder)
    except OSError as error:
        raise StartupRefused(f"cannot make the sample in {folder}: {error.strerror}; give another --folder") from error
    with mark:
        yield


def clear(folder: Path, names: Sequence[str]) -> None:
    """Remove the directories ``names`` inside ``folder``, which is ``owned``; absent is fine. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            remove_tree(fd, name)
    finally:
        os.close(fd)


def _open_mark(folder: Path) -> TextIO:
    path = folder / _MARK
    if folder.exists() and any(folder.iterdir()) and not path.is_file():
        raise StartupRefused(f"{folder} is not empty and holds no earlier demo; remove it, or give another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    mark = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        mark.close()
        raise StartupRefused(f"a demo runs in {folder} already; end it, or give another --folder") from None
    if not mark.tell():
        mark.write("The demo of sweepd made this folder, and clears it when it begins again.\n")
        mark.flush()
    return mark
