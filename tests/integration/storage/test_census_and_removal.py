"""Trees of every shape are counted exactly and removed completely, and nothing beside them is touched."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.storage import census, walk
from daemon.storage.census import Census
from daemon.storage.removal import Remover, remove_empty_directory, remove_file, remove_tree
from support.processes import ForkServer
from support.trees import chain, count, fill, snapshot

pytestmark = pytest.mark.usefixtures("_each_way")


def counted(fd: int, name: str = "data") -> tuple[int, ...]:
    return tuple(census.take(fd, name).to_json().values())


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside, which every test leaves as it was."""
    path = fill(tmp_path / "outside", 5)
    before = snapshot(path)
    yield path
    assert snapshot(path) == before


def test_an_ordinary_tree_is_counted_exactly_and_then_gone(folder: Path, folder_fd: int) -> None:
    fill(folder / "data", 20)
    fill(folder / "other")
    other = snapshot(folder / "other")
    assert counted(folder_fd) == count(folder / "data")
    assert counted(folder_fd)[:2] == (20, 5)
    remove_tree(folder_fd, "data")
    assert os.listdir(folder) == ["other"]
    assert snapshot(folder / "other") == other


def test_an_empty_directory_counts_as_one_directory(folder: Path, folder_fd: int) -> None:
    (folder / "data").mkdir()
    assert census.take(folder_fd, "data") == Census(0, 1, 0, 0)
    remove_tree(folder_fd, "data")
    assert os.listdir(folder) == []


def test_a_hard_link_frees_its_bytes_only_with_the_last_of_its_names(
    folder: Path, folder_fd: int, tmp_path: Path
) -> None:
    data = folder / "data"
    data.mkdir()
    (data / "sub").mkdir()
    for name in ("shared", "inside", "alone"):
        with open(data / name, "wb") as file:
            file.write(b"x" * 100_000)
            os.fsync(file.fileno())
    os.link(data / "shared", tmp_path / "kept")
    os.link(data / "shared", data / "sub" / "shared-again")
    os.link(data / "inside", data / "sub" / "inside-again")
    blocks = (data / "alone").stat().st_blocks * 512
    assert blocks >= 100_000
    assert counted(folder_fd) == (5, 2, 500_000, 2 * blocks) == count(data)
    remove_tree(folder_fd, "data")
    assert (tmp_path / "kept").read_bytes() == b"x" * 100_000
    assert (tmp_path / "kept").stat().st_nlink == 1


def test_a_sparse_file_counts_its_size_but_frees_only_its_blocks(folder: Path, folder_fd: int) -> None:
    (folder / "data").mkdir()
    with open(folder / "data" / "sparse", "wb") as file:
        file.truncate(10_000_000)
    assert census.take(folder_fd, "data") == Census(1, 1, 10_000_000, 0)


def test_symlinks_go_and_what_they_point_at_stays(folder: Path, folder_fd: int, outside: Path) -> None:
    data = folder / "data"
    data.mkdir()
    (data / "to-file").symlink_to(outside / "file-0.json")
    (data / "to-directory").symlink_to(outside)
    (data / "relative").symlink_to("../../../outside")
    (data / "dangling").symlink_to("nowhere")
    (data / "to-itself").symlink_to("to-itself")
    (data / "to-root").symlink_to("/")
    assert counted(folder_fd)[:2] == (6, 1)
    assert counted(folder_fd) == count(data)
    remove_tree(folder_fd, "data")
    assert os.listdir(folder) == []


def test_a_tree_that_is_itself_a_symlink_is_refused(folder: Path, folder_fd: int, outside: Path) -> None:
    (folder / "data").symlink_to(outside)
    for work in (census.take, remove_tree):
        with pytest.raises(OSError) as caught:
            work(folder_fd, "data")
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    assert (folder / "data").is_symlink()


def test_fifos_sockets_and_devices_are_unlinked_and_never_opened(folder: Path, folder_fd: int) -> None:
    data = folder / "data"
    data.mkdir()
    os.mkfifo(data / "fifo")  # opening it would wait for a writer for ever
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(data)  # the address of a socket has to be short
        try:
            listener.bind("socket")
        finally:
            os.chdir("/")
        if os.geteuid() == 0:
            os.mknod(data / "device", 0o600 | 0o020000, os.makedev(1, 3))
        assert counted(folder_fd) == count(data)
        remove_tree(folder_fd, "data")
    assert os.listdir(folder) == []


def test_names_are_bytes(folder: Path, folder_fd: int) -> None:
    data = os.fsencode(folder / "data")
    names = [b"\xff\xfe", b"line\nbreak", b" ", b"-rf", b"tab\t", b"\\", b"*", "文件".encode(), b"x" * 255, b"..."]
    os.mkdir(data)
    for name in names:
        os.mkdir(data + b"/" + name)
        Path(os.fsdecode(data + b"/" + name + b"/" + name)).write_bytes(b"12345")
    assert counted(folder_fd) == count(folder / "data")
    assert counted(folder_fd)[:3] == (10, 11, 50)
    remove_tree(folder_fd, "data")
    assert os.listdir(folder) == []


@pytest.mark.parametrize(("depth", "branches"), [(5000, False), (600, True)])
@pytest.mark.costly
def test_depth_is_bounded_neither_by_recursion_nor_by_descriptors(
    folder: Path, processes: ForkServer, depth: int, branches: bool
) -> None:
    chain(folder / "data", depth, branches=branches)
    ended = processes.run("support.limits:count_and_remove", folder=str(folder), name="data", descriptors=128)
    files, directories, *_ = ended.value
    assert (files, directories) == ((2 * depth, 3 * depth + 1) if branches else (0, depth + 1))
    assert os.listdir(folder) == []


def test_files_listed_before_a_directory_count_against_the_limit_inside_it(folder: Path) -> None:
    (folder / "inner").mkdir()
    for number in range(3):
        (folder / f"file-{number}").touch()
    counter = census.Counter(most=4)
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.is_dir())
    counting = counter.count(iter(entries))
    assert next(counting) == "inner"
    assert counter.files == 3


@pytest.mark.parametrize("files", [1, 64, 200])
def test_a_limited_count_is_exact_or_there_is_none(folder: Path, folder_fd: int, files: int) -> None:
    fill(folder / "data", files)
    taken = census.take(folder_fd, "data")
    entries = taken.files + taken.directories
    assert census.take_small(folder_fd, "data", entries) == taken
    assert census.take_small(folder_fd, "data", entries - 1) is None


@pytest.mark.parametrize("before", [0, 5, 64, 100])
def test_each_file_is_told_once_wherever_the_directories_are_listed(folder: Path, before: int) -> None:
    (folder / "inner").mkdir()
    for number in range(130):
        (folder / f"file-{number}").touch()
    told: list[int] = []
    counter = census.Counter(tick=told.append)
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    entries.insert(before, entries.pop())
    assert list(counter.count(iter(entries))) == ["inner"]
    assert (counter.files, sum(told)) == (130, 130)
    assert len(told) == 3
    assert max(told) <= 64


def test_what_has_vanished_since_it_was_listed_is_not_counted(folder: Path) -> None:
    for number in range(10):
        (folder / f"file-{number}").write_bytes(b"x" * 2**number)
    (folder / "inner").mkdir()
    counter = census.Counter()
    with os.scandir(folder) as listed:
        entries = list(listed)
    for number in (0, 5, 9):
        (folder / f"file-{number}").unlink()
    assert list(counter.count(iter(entries))) == ["inner"]
    assert (counter.files, counter.size_bytes) == (7, 2**10 - 1 - 2**0 - 2**5 - 2**9)


@pytest.mark.costly
@pytest.mark.many_files
def test_memory_does_not_grow_with_the_files_of_a_directory(folder: Path, processes: ForkServer) -> None:
    data = folder / "data"
    data.mkdir()
    fd = os.open(data, os.O_RDONLY)
    for index in range(8_000):
        os.close(os.open(f"a-name-of-some-length-{index:08}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    counting, removing = processes.run("support.limits:peak_memory", folder=str(folder), name="data").value
    assert counting < 150_000  # the names alone are three times that
    assert removing < 600_000  # a stretch that is sorted; all entries are four times that
    assert os.listdir(folder) == []


def test_an_absent_tree_is_fine_for_removal_and_an_error_for_counting(folder: Path, folder_fd: int) -> None:
    remove_tree(folder_fd, "data")
    remove_file(folder_fd, "data")
    remove_empty_directory(folder_fd, "data")
    with pytest.raises(FileNotFoundError):
        census.take(folder_fd, "data")
    assert os.listdir(folder) == []


def test_a_directory_that_is_not_empty_is_not_removed_as_an_empty_one(folder: Path, folder_fd: int) -> None:
    fill(folder / "data")
    with pytest.raises(OSError, match="not empty"):
        remove_empty_directory(folder_fd, "data")
    assert (folder / "data" / "file-0.json").exists()


def test_what_a_writer_adds_meanwhile_is_removed_too(folder: Path, folder_fd: int) -> None:
    data = folder / "data"
    for index in range(30):
        fill(data / f"{index}", 20)
    with writer(data) as written:
        while not written:
            pass
        remove_tree(folder_fd, "data")
    assert os.listdir(folder) == []


@contextmanager
def writer(data: Path) -> Iterator[list[int]]:
    """A thread that holds the directory open and writes into it until it is gone."""
    written: list[int] = []
    fd = os.open(data, os.O_RDONLY | os.O_DIRECTORY)

    def write() -> None:
        for index in range(400):  # well within the walk's patience, also on a busy machine
            try:
                os.mkdir(f"late-{index}", dir_fd=fd)
                os.close(os.open(f"late-{index}/file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            except FileNotFoundError:
                if not data.exists():
                    return
            written.append(index)
            time.sleep(0.0005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        thread.join()
        os.close(fd)


def test_an_endless_writer_ends_in_an_error_and_not_in_an_endless_loop(
    folder: Path, folder_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder / "data" / "sub", 4)
    leave = os.rmdir

    def refill(name: str, *, dir_fd: int) -> None:
        if name == "sub":
            os.close(os.open("sub/again", os.O_CREAT | os.O_WRONLY, dir_fd=dir_fd))
        leave(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", refill)
    with pytest.raises(OSError) as caught:
        remove_tree(folder_fd, "data")
    assert caught.value.errno == errno.ENOTEMPTY
    assert caught.value.filename == "data/sub"
    monkeypatch.undo()
    remove_tree(folder_fd, "data")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("depth", [0, 3, walk.STREAMING_LEVELS - 1, walk.STREAMING_LEVELS, 40])
def test_an_error_names_the_path_at_any_depth(folder: Path, folder_fd: int, immutable: list[Path], depth: int) -> None:
    place = folder.joinpath("data", *["deep"] * depth)
    place.mkdir(parents=True)
    (place / "deep").write_text("a file named like its directory")
    chattr("+i", place / "deep")
    immutable.append(place / "deep")
    with pytest.raises(PermissionError) as caught:
        remove_tree(folder_fd, "data")
    assert caught.value.filename == "/".join(["data", *["deep"] * depth, "deep"])
    chattr("-i", place / "deep")
    remove_tree(folder_fd, "data")
    assert os.listdir(folder) == []


def test_what_comes_before_an_error_is_gone_and_the_rest_is_whole(
    folder: Path, folder_fd: int, immutable: list[Path]
) -> None:
    locked = fill(folder / "data" / "locked", 5) / "file-0.json"
    chattr("+i", locked)
    immutable.append(locked)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PermissionError):
        remove_tree(folder_fd, "data")
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert locked.exists()


@pytest.mark.parametrize("elsewhere", [True, False], ids=["of a device of its own", "of the root's"])
def test_what_takes_no_changes_is_its_own_fault_if_it_is_a_subvolume(
    folder: Path, folder_fd: int, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """As btrfs has it: EROFS from within, and another device number than the root's."""
    locked = fill(folder / "data" / "locked", 5) / "file-0.json"
    fill(folder / "data" / "open", 5)
    remover, unlink = Remover(folder_fd), os.unlink
    remover._home += elsewhere

    def refused(name: str, *, dir_fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{dir_fd}") == str(locked.parent):
            raise OSError(errno.EROFS, "refused", name)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(OSError, match="subvolume" if elsewhere else "refused") as caught:
        remove_tree(folder_fd, "data", remover)
    assert caught.value.errno == (errno.EPERM if elsewhere else errno.EROFS)
    assert str(caught.value.filename).startswith("data/locked/")
    if elsewhere:  # what can go has gone
        assert os.listdir(folder / "data") == ["locked"]


def chattr(flag: str, path: Path) -> None:
    subprocess.run(["chattr", flag, str(path)], check=True, capture_output=True)


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[list[Path]]:
    """Files made immutable, for the cleaning up."""
    probe = tmp_path / "probe"
    probe.touch()
    try:
        chattr("+i", probe)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user or this file system has no immutable files")
    chattr("-i", probe)
    paths: list[Path] = []
    yield paths
    for path in paths:
        if path.exists():
            chattr("-i", path)


@pytest.mark.costly
def test_a_large_directory_is_removed_in_the_order_of_its_inodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours on disk go together, whatever order the file system lists them in."""
    data = folder / "data"
    data.mkdir()
    for index in range(3000):
        (data / f"{index * 7919 % 3000:05}").touch()
    inodes = {path.name: path.stat().st_ino for path in data.iterdir()}
    removed: list[int] = []
    unlink = os.unlink

    def note(name: str, *, dir_fd: int) -> None:
        removed.append(inodes[name])
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", note)
    fd = os.open(folder, os.O_RDONLY)
    try:
        remove_tree(fd, "data")
    finally:
        os.close(fd)
    assert removed == sorted(inodes.values())
