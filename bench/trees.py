"""The trees that are removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    """``make`` builds it, as large as ``scale`` says. ``several``: its top directories are removed one by one.

    ``together``: those of one turn may lie on the disk at the same time.
    """

    name: str
    make: Callable[[Path, float], None]
    target: float | None
    several: bool = False
    together: bool = True
    pairs: int = 5


def _files(folder: Path, number: int, size: int = 200) -> None:
    folder.mkdir(parents=True)
    content = b"x" * size
    for index in range(number):
        with open(folder / f"file-{index:06}", "wb") as file:
            file.write(content)


def small_files(path: Path, scale: float) -> None:
    """200,000 small files in 2,000 directories."""
    for number in range(max(1, int(2000 * scale))):
        _files(path / f"{number:05}", 100)


def tasks(path: Path, scale: float) -> None:
    """200 task directories of 15 files in 3 folders each."""
    for number in range(max(1, int(200 * scale))):
        for part in "abc":
            _files(path / f"task_{number:05}" / part, 5)


def tasks_of_250(path: Path, scale: float) -> None:
    """4,000 task directories of 250 files in 5 folders each."""
    for number in range(max(1, int(4000 * scale))):
        for part in "abcde":
            _files(path / f"task_{number:05}" / part, 50)


def flat(path: Path, scale: float) -> None:
    """One directory of 200,000 small files."""
    _files(path, max(1, int(200_000 * scale)))


def chain(path: Path, scale: float) -> None:
    """5,000 directories, each in the other."""
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(max(1, int(5000 * scale))):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def large_files(path: Path, scale: float) -> None:
    """20 files of 200 MB."""
    path.mkdir()
    for number in range(20):
        with open(path / f"{number}", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, int(200_000_000 * scale)))


TREES = (
    Tree("200 task directories of 15 files", tasks, 0.72, several=True, pairs=9),
    Tree("200,000 files in 2,000 directories", small_files, 0.65, pairs=3),
    Tree("one flat directory of 200,000 files", flat, 0.70, pairs=3),
    Tree("a chain of 5,000 directories", chain, None, pairs=5),
    Tree("20 files of 200 MB", large_files, None, together=False, pairs=3),
)
