"""Directory trees for tests: made, described and counted without any code of the daemon."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

Counts = tuple[int, int, int, int]
"""Files, directories, apparent bytes, bytes that removal frees."""


def snapshot(path: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything below ``path`` by relative name: its kind, its mode and what it holds. ``path`` itself is ``b"."``."""
    top = os.fsencode(path)
    return {os.path.relpath(name, top): _describe(name) for name in _everything(top)}


def count(path: Path) -> Counts:
    """The counts of the tree, hard links considered."""
    files = directories = size = freed = 0
    links: dict[tuple[int, int], list[int]] = {}
    for name in _everything(os.fsencode(path)):
        status = os.lstat(name)
        if stat.S_ISDIR(status.st_mode):
            directories += 1
            continue
        files += 1
        size += status.st_size
        links.setdefault((status.st_dev, status.st_ino), [status.st_nlink, 0, status.st_blocks * 512])[1] += 1
    freed = sum(blocks for total, inside, blocks in links.values() if total == inside)
    return files, directories, size, freed


def fill(path: Path, files: int = 3) -> Path:
    """An ordinary task directory of ``files`` files: some in subdirectories, one empty folder beside them."""
    path.mkdir(parents=True)
    (path / "empty").mkdir()
    for index in range(min(files, 6)):
        if index % 2:
            (path / f"part-{index % 3}").mkdir()
    for index in range(files):
        folder = f"{path}/part-{index % 3}" if index % 2 else path
        with open(f"{folder}/file-{index}.json", "wb", 0) as file:
            file.write(b"x" * (index * 37 % 5000))
    return path


def chain(path: Path, depth: int, *, branches: bool = False) -> None:
    """``depth`` nested directories, deeper than any path is long; with ``branches``, a file and two more each."""
    path.mkdir()
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        names = ("a", "d", "z") if branches else ("d",)
        for name in names:
            os.mkdir(name, dir_fd=fd)
        if branches:
            os.close(os.open("file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd))
            os.close(os.open("a/file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=fd))
        inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def _everything(path: bytes) -> Iterator[bytes]:
    yield path
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        return
    for name in sorted(os.listdir(path)):
        yield from _everything(path + b"/" + name)


def _describe(path: bytes) -> tuple[object, ...]:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        return (kind, os.readlink(path))
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            return (kind, status.st_mode, file.read())
    return (kind, status.st_mode)
