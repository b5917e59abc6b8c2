"""The ways to remove everything in a folder that are compared."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from daemon.storage.progress import Progress
from daemon.storage.workers import Workers

Method: TypeAlias = Callable[[Path], None]


def engine(workers: Workers) -> Method:
    """sweepd's own: exact counts first, then the removal."""

    def run(folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            names = os.listdir(fd)
            counts = workers.count(fd, names)
            files, size = sum(census.files for census in counts), sum(census.size_bytes for census in counts)
            workers.remove(fd, names, Progress(files, size))
        finally:
            os.close(fd)

    return run


def rm(folder: Path) -> None:
    subprocess.run(["rm", "-rf", *sorted(map(str, folder.iterdir()))], check=True)


def find_delete(folder: Path) -> None:
    subprocess.run(["find", *sorted(map(str, folder.iterdir())), "-delete"], check=True)


def rmtree(folder: Path) -> None:
    for task in folder.iterdir():
        shutil.rmtree(task)


def plain(folder: Path) -> None:
    """Count by walking and asking for each size, then remove."""
    files = size = 0
    for task in folder.iterdir():
        for top, _, names in os.walk(task):
            for name in names:
                size += os.lstat(os.path.join(top, name)).st_size
                files += 1
    rmtree(folder)


REFERENCE: Final = "rm -rf"
OTHERS: Final[dict[str, Method]] = {
    REFERENCE: rm,
    "find -delete": find_delete,
    "shutil.rmtree": rmtree,
    "os.walk + lstat, rmtree": plain,
}
PLAIN: Final = "os.walk + lstat, rmtree"
RECURSIVE: Final = frozenset({"shutil.rmtree", PLAIN})
