"""Small files that survive a power cut: written, synced, their directory synced."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from daemon.storage import removal
from daemon.storage.moves import replace

_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def write_json(directory_fd: int, name: str, data: Mapping[str, object]) -> None:
    """Write ``name`` in one step: a reader sees the old content or the new one. Raises OSError."""
    temporary = f"{name}.tmp"
    _write(directory_fd, temporary, data)
    replace(directory_fd, temporary, name)
    os.fsync(directory_fd)


def create_json(directory_fd: int, name: str, data: Mapping[str, object]) -> None:
    """Write a new file ``name``. Cut off in between, there is none, or one that is not JSON. Raises OSError."""
    _write(directory_fd, name, data)
    os.fsync(directory_fd)


def read_json(directory_fd: int, name: str) -> dict[str, object] | None:
    """The object in ``name``, or None if there is no such file. Raises ValueError if it is not a JSON object."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    except FileNotFoundError:
        return None
    try:
        file = os.fdopen(fd, "rb")
    except IsADirectoryError:
        os.close(fd)
        raise ValueError(f"{name} is a directory") from None
    with file:
        try:
            data = json.load(file)
        except RecursionError:
            raise ValueError(f"{name} is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError(f"{name} is not a JSON object")
    return data


def _write(directory_fd: int, name: str, data: Mapping[str, object]) -> None:
    fd = os.open(name, _WRITE, 0o600, dir_fd=directory_fd)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(_text(data))
        os.fsync(fd)
    except OSError:
        with suppress(OSError):  # on a full file system it would keep an inode
            removal.remove_file(directory_fd, name)
        raise
    finally:
        os.close(fd)


def _text(data: Mapping[str, object]) -> bytes:
    # at once: `json.dump` would write it in a thousand pieces, and take ten times as long
    return f"{json.dumps(data, sort_keys=True)}\n".encode()
