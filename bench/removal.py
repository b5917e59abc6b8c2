"""Counted removal beside ``rm -rf`` and the others: each on a tree of its own, in turns."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import Figure, Report
from bench.trees import TREES, Tree
from daemon.storage.progress import Progress
from daemon.storage.workers import Workers

Method = Callable[[Path], None]


def run(report: Report, folder: Path, *, scale: float, pairs: int | None, tree: str = "") -> None:
    """Measure every tree with ``tree`` in its name."""
    two, none = Workers(2, priority="normal"), Workers(0)
    try:
        _warm(two, folder)
        for one in TREES:
            if tree in one.name:
                _one(report, one, folder, scale, pairs or one.pairs, two, none)
    finally:
        two.close()


def _one(report: Report, tree: Tree, folder: Path, scale: float, pairs: int, two: Workers, none: Workers) -> None:
    methods: dict[str, Method] = {
        "rm -rf": lambda path: _command(["rm", "-rf", str(path)]),
        "engine, two workers": lambda path: _engine(two, path, several=tree.several),
        "engine, one process": lambda path: _engine(none, path, several=tree.several),
        "find -delete": lambda path: _command(["find", str(path), "-delete"]),
        "plain way (count, then rmtree)": _plain,
        "plain way with pathlib": _plain_with_pathlib,
        "shutil.rmtree": shutil.rmtree,
    }
    if "chain" in tree.name:  # they end in a RecursionError
        methods = {name: method for name, method in methods.items() if "rmtree" not in name and "plain" not in name}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(pairs):
        names = list(methods)
        # All before the first is removed: some file systems are slow to reuse what has just been freed.
        for number in range(len(names) if tree.together else 0):
            tree.make(folder / f"tree-{number}", scale)
        os.sync()
        for number, name in enumerate(names[turn % len(names) :] + names[: turn % len(names)]):
            path = folder / f"tree-{number}"
            if not tree.together:
                tree.make(path, scale)
                os.sync()
            started = time.perf_counter()
            methods[name](path)
            seconds[name].append(time.perf_counter() - started)
            assert not path.exists(), f"{name} left something"
    against = statistics.median(seconds["rm -rf"])
    for name, measured in seconds.items():
        if name == "rm -rf":
            continue
        ours = name == "engine, two workers"
        ratio = statistics.median(measured) / against
        report.add(Figure(tree.name, name, ratio, "of rm -rf", tree.target if ours else None))
    for plain, target in (("plain way (count, then rmtree)", 0.5), ("plain way with pathlib", None)):
        if plain in seconds and tree.target is not None:
            ratio = statistics.median(seconds["engine, two workers"]) / statistics.median(seconds[plain])
            report.add(Figure(tree.name, "engine, two workers", ratio, f"of the {plain}", target))


def _engine(workers: Workers, path: Path, *, several: bool) -> None:
    """Count, then remove, as a deletion does with what lies in its trash entry."""
    fd = os.open(path if several else path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        names = sorted(os.listdir(fd)) if several else [path.name]
        counts = workers.count(fd, names)
        files, size = sum(one.files for one in counts), sum(one.size_bytes for one in counts)
        workers.remove(fd, names, Progress(files, size))
    finally:
        os.close(fd)
    if several:
        os.rmdir(path)


def _plain(path: Path) -> None:
    count = size = 0
    for folder, _, files in os.walk(path):
        for name in files:
            count += 1
            size += os.lstat(os.path.join(folder, name)).st_size
    shutil.rmtree(path)


def _plain_with_pathlib(path: Path) -> None:
    count = size = 0
    for found in path.rglob("*"):
        if found.is_file():
            count += 1
            size += found.stat().st_size
    shutil.rmtree(path)


def _command(command: list[str]) -> None:
    subprocess.run(command, check=True)


def _warm(workers: Workers, folder: Path) -> None:
    """Have the children started, as many as this disk is worth: a daemon that deletes has them."""
    path = folder / "warm"
    for number in range(200):
        (path / str(number)).mkdir(parents=True)
        for index in range(60):
            (path / str(number) / str(index)).write_bytes(b"x" * 200)
    os.sync()  # what has no blocks there yet does not wait for the disk
    _engine(workers, path, several=False)
