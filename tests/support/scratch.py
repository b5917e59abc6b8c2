"""Where the tests' files lie: in memory where there is room, which spares the disk a hundred thousand small files.

What a file system of a disk does is for those who ask for ``on_disk()``; ``TMPDIR`` in the environment decides for all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")  # the tmpfs that every Linux has
_NEEDED = 3 << 30  # bytes: some 0.5 GiB is used, and what failed runs have left
_PREFIX = "sweepd-t-"
_DISK = "SWEEPD_TESTS_ON_DISK"


def use_memory() -> Path | None:
    """Make a folder in memory the place of temporary files, for this process and those it starts; None: it stays."""
    if "TMPDIR" in os.environ or not _fits():
        return None
    _remove_abandoned()
    new = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=_MEMORY))
    new.chmod(0o711)  # PostgreSQL's user goes through
    fcntl.flock(os.open(new, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX)  # held as long as this process lives
    folder = new.rename(_MEMORY / new.name[1:])
    os.environ[_DISK] = tempfile.gettempdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


def on_disk() -> Path | None:
    """Where temporary files would lie, on a disk in general; None: they do lie there."""
    return Path(os.environ[_DISK]) if _DISK in os.environ else None


@contextlib.contextmanager
def once(name: str) -> Iterator[Path | None]:
    """A place where the whole run keeps one thing of that name, locked meanwhile; None: there is no such place."""
    if _DISK not in os.environ:
        yield None
        return
    place = Path(os.environ["TMPDIR"]) / name
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place


def _fits() -> bool:
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return False
    usable = os.access(_MEMORY, os.W_OK | os.X_OK) and not found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return usable and found.f_bavail * found.f_frsize >= _NEEDED and _available() >= _NEEDED


def _available() -> int:
    """Bytes of memory that can be had without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    return 0


def _remove_abandoned() -> None:
    """What is left of runs that have ended, or were killed."""
    for folder in _MEMORY.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
