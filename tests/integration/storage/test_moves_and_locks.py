"""Moves never replace anything; locks keep processes apart and die with their holder."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from daemon.storage import syscalls
from daemon.storage.locks import exclusive
from daemon.storage.moves import move
from daemon.storage.root import StorageRoot, mark
from support.processes import ForkServer
from support.trees import fill, snapshot


@pytest.fixture(params=["renameat2", "fallback", "unsupported"])
def _each_rename(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's exclusive rename; none on this architecture; a file system that answers EINVAL to its flag."""
    if request.param == "fallback":
        monkeypatch.setattr(syscalls, "_RENAMEAT2", None)
    elif request.param == "unsupported":
        monkeypatch.setattr(syscalls, "_RENAME_NOREPLACE", 1 << 30)


@pytest.mark.usefixtures("_each_rename")
def test_a_move_takes_a_tree_whole(folder: Path, folder_fd: int) -> None:
    before = snapshot(fill(folder / "a"))
    (folder / "to").mkdir()
    to_fd = os.open(folder / "to", os.O_RDONLY)
    move(folder_fd, "a", to_fd, "b")
    os.close(to_fd)
    assert snapshot(folder / "to" / "b") == before
    assert os.listdir(folder) == ["to"]


@pytest.mark.usefixtures("_each_rename")
@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_a_move_never_replaces(folder: Path, folder_fd: int, kind: str) -> None:
    fill(folder / "a")
    target = folder / "b"
    if kind == "directory":
        target.mkdir()  # rename(2) alone would take its place without a word
    elif kind == "file":
        target.touch()
    else:
        target.symlink_to("nowhere")
    before = snapshot(folder)
    with pytest.raises(FileExistsError) as caught:
        move(folder_fd, "a", folder_fd, "b")
    assert (caught.value.filename, caught.value.filename2) == ("a", "b")
    assert snapshot(folder) == before


@pytest.mark.usefixtures("_each_rename")
def test_a_move_of_nothing_says_so(folder: Path, folder_fd: int) -> None:
    with pytest.raises(FileNotFoundError):
        move(folder_fd, "a", folder_fd, "b")
    assert os.listdir(folder) == []


@pytest.mark.usefixtures("_each_rename")
def test_a_directory_is_not_moved_into_itself(folder: Path, folder_fd: int) -> None:
    fill(folder / "a")
    inside = os.open(folder / "a", os.O_RDONLY)
    with pytest.raises(OSError) as caught:
        move(folder_fd, "a", inside, "b")
    os.close(inside)
    assert caught.value.errno == errno.EINVAL
    assert (folder / "a").is_dir()


def test_only_one_at_a_time_holds_a_lock(root: StorageRoot) -> None:
    with exclusive(root, "sweep") as first:
        with exclusive(root, "sweep") as second, exclusive(root, "other") as third:
            assert (first, second, third) == (True, False, True)
    with exclusive(root, "sweep") as again:
        assert again


def test_a_lock_is_released_by_an_error(root: StorageRoot) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(root, "sweep"):
        raise ZeroDivisionError
    with exclusive(root, "sweep") as held:
        assert held


def test_a_lock_keeps_other_processes_out_until_its_holder_is_killed(tmp_path: Path, processes: ForkServer) -> None:
    path, root_id = str(tmp_path / "root"), mark(tmp_path / "root")
    ready, done = tmp_path / "ready", tmp_path / "done"
    for pipe in (ready, done):
        os.mkfifo(pipe)
    arguments = {"root": path, "root_id": root_id, "name": "daemon"}
    holder = processes.spawn("support.limits:hold_lock", **arguments, ready=str(ready), done=str(done))
    os.close(os.open(ready, os.O_RDONLY))
    assert processes.run("support.limits:try_lock", **arguments).value is False
    os.kill(holder.pid, signal.SIGKILL)
    assert holder.wait().killed_by is signal.SIGKILL
    assert processes.run("support.limits:try_lock", **arguments).value is True
