"""Somebody swaps directories for symlinks to other people's data while a tree is being removed."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from daemon.storage import census
from daemon.storage.removal import remove_tree
from support.trees import fill, snapshot

pytestmark = pytest.mark.usefixtures("_each_way")

RACES = 300
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


@contextmanager
def attacker(paths: list[tuple[Path, Path]]) -> Iterator[None]:
    """A thread that exchanges each pair of paths, as often as it can."""
    libc = ctypes.CDLL(None)
    arguments = [(os.fsencode(a), os.fsencode(b)) for a, b in paths]
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            for one, other in arguments:
                libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)

    thread = threading.Thread(target=exchange)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_no_race_leads_a_removal_or_a_census_out_of_its_tree(folder: Path, folder_fd: int, tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", 12)
    before = snapshot(outside)
    spare = folder / "spare"
    spare.mkdir()
    pairs = [(folder / "data" / f"{index}", spare / f"{index}") for index in range(4)]
    with attacker(pairs):
        for race in range(RACES):
            for _, link in pairs:
                if not link.is_symlink():
                    link.rename(folder / f"swapped-out-{race}-{link.name}") if link.exists() else None
                    link.symlink_to(outside, target_is_directory=True)
            for index, (one, _) in enumerate(pairs):
                new = fill(folder / "new", index)
                (folder / "data").mkdir(exist_ok=True)
                new.rename(one)
            with suppress(FileNotFoundError):
                census.take(folder_fd, "data")
            remove_tree(folder_fd, "data")
            assert not (folder / "data").exists()
    assert snapshot(outside) == before
    swapped_out = len(list(folder.glob("swapped-out-*")))
    assert 0 < swapped_out < RACES * len(pairs), "the attacker never won or never lost: nothing was tried"


def test_a_tree_whose_top_is_swapped_is_refused_or_removed_but_never_followed(
    folder: Path, folder_fd: int, tmp_path: Path
) -> None:
    outside = fill(tmp_path / "outside", 12)
    before = snapshot(outside)
    (folder / "link").symlink_to(outside, target_is_directory=True)
    with attacker([(folder / "data", folder / "link")]):
        for _ in range(RACES):
            with suppress(FileExistsError):
                (folder / "data").mkdir()
            with suppress(NotADirectoryError, OSError):
                remove_tree(folder_fd, "data")
    assert snapshot(outside) == before
