"""A Unix socket to listen on: made, and removed when nobody listens on it any more."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from daemon.storage.removal import remove_socket

_MODE: Final = 0o660


class SocketTaken(Exception):
    """Something else is at the socket's path; the message says what."""


def bind(path: Path) -> socket.socket:
    """A socket bound to ``path``, not listening yet. Takes the place of one that nobody listens on.

    Raises SocketTaken, and OSError if its folder cannot be used.
    """
    with _folder(path) as folder:
        _make_way(folder, path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.bind(str(path))
            os.chmod(path.name, _MODE, dir_fd=folder)  # before anybody can connect: it does not listen yet
        except BaseException:
            made.close()
            raise
    return made


def look(path: Path) -> None:
    """Changes nothing. Raises SocketTaken if what is at ``path`` is no socket, and OSError if its folder is not there.

    Whether somebody listens on it is not asked: a connection may start whom it reaches.
    """
    with _folder(path) as folder:
        _has_socket(folder, path)


def unbind(path: Path, inode: int) -> None:
    """Remove it, if it is still the one with that inode."""
    with suppress(OSError), _folder(path) as folder:
        if os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_ino == inode:
            remove_socket(folder, path.name)


def inode_of(path: Path) -> int:
    """Tells the socket at ``path`` from a later one. Raises OSError."""
    return path.stat(follow_symlinks=False).st_ino


def _make_way(folder: int, path: Path) -> None:
    if not _has_socket(folder, path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            remove_socket(folder, path.name)
            return
        except BlockingIOError:
            pass  # its queue is full: somebody is very much there
    raise SocketTaken("another process listens on it: stop it, or choose another path")


def _has_socket(folder: int, path: Path) -> bool:
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketTaken("there is something else at that path: remove it, or choose another one")
    return True


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
