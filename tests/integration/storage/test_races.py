"""Somebody swaps directories for symlinks to other people's data while a tree is being removed."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from daemon.storage import census, syscalls
from daemon.storage.removal import remove_tree
from support.trees import fill, snapshot

pytestmark = [pytest.mark.usefixtures("_each_way"), pytest.mark.many_files]

RACES = 200
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


@pytest.mark.costly
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


class Kernel:
    """Answers the first calls with an error, and passes the others on."""

    def __init__(self, code: int, times: int) -> None:
        self._left = times
        self._code = code
        self._libc = syscalls._libc

    def syscall(self, *arguments: object) -> int:
        if self._left:
            self._left -= 1
            ctypes.set_errno(self._code)
            return -1
        return int(self._libc.syscall(*arguments))


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EINTR, errno.EXDEV])
def test_an_open_that_lost_a_race_is_tried_again_but_not_for_ever(
    folder: Path, folder_fd: int, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A directory moved away during its own resolution is EXDEV to openat2, as a mount is; only a mount stays one."""
    monkeypatch.setattr(syscalls, "_has_openat2", True)
    fill(folder / "data")
    with monkeypatch.context() as patch:
        patch.setattr(syscalls, "_libc", Kernel(code, 3))
        os.close(syscalls.open_directory(folder_fd, "data"))
        patch.setattr(syscalls, "_libc", Kernel(code, 10_000))
        with pytest.raises(OSError) as caught:
            syscalls.open_directory(folder_fd, "data")
    assert caught.value.errno == code


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_without_the_safe_open_is_served_by_its_replacement(
    folder: Path, folder_fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(syscalls, "_has_openat2", True)
    fill(folder / "data")
    (folder / "link").symlink_to(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(syscalls, "_libc", Kernel(code, 10_000))
        os.close(syscalls.open_directory(folder_fd, "data"))
        for name in ("link", "..", ".", "data/part-1", ""):
            with pytest.raises(OSError):  # ELOOP, ENOTDIR or EINVAL
                syscalls.open_directory(folder_fd, name)
