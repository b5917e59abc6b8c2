"""Clears the demonstration's own folders; the rest of a folder is not touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daemon.storage.removal import remove_tree


def clear(folder: Path, names: Sequence[str]) -> None:
    """Remove the directories ``names`` inside ``folder``; absent is fine. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            remove_tree(fd, name)
    finally:
        os.close(fd)
