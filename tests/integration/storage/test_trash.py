"""An entry of the trash, from its making to its end."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from daemon.storage import durable, moves, reserve, syscalls, trash
from daemon.storage.census import NOTHING
from daemon.storage.root import StorageRoot
from daemon.storage.trash import MovedSomethingElse
from daemon.storage.workers import Workers
from support.trees import count, fill, snapshot

ID = "0" * 28
WORKERS = Workers(0)


def entries(root: StorageRoot) -> list[str]:
    return sorted(os.listdir(root.path / ".sweepd" / "trash"))


def test_a_directory_goes_in_is_counted_and_purged_and_the_entry_goes(root: StorageRoot) -> None:
    task = fill(root.path / "task_1", 9)
    tree, counts = snapshot(task), count(task)
    with root.open() as opened, trash.new_entry(opened) as entry:
        directory = opened.find("task_1")
        assert directory is not None
        assert ID not in entry.held()
        entry.write_manifest({"task": 1})
        entry.take_in(directory, ID)
        place = root.path / ".sweepd" / "trash" / entry.entry_id
        assert sorted(os.listdir(root.path)) == [".sweepd"]
        assert snapshot(place / ID) == tree
        assert ID in entry.held()
        assert entry.begun() == set()
        assert tuple(entry.count(ID, WORKERS).to_json().values()) == counts
        assert entry.begun() == {ID}
        entry.purge([ID], WORKERS)
        assert ID not in entry.held()
        assert tuple(entry.count(ID, WORKERS).to_json().values()) == counts, "counted again after the purge"
        assert sorted(os.listdir(place)) == [f"{ID}.census", "manifest.json"]
        entry.discard()
    assert entries(root) == []


def test_a_directory_put_back_is_what_it_was(root: StorageRoot) -> None:
    task = fill(root.path / "task_1")
    tree, inode = snapshot(task), task.stat().st_ino
    with root.open() as opened, trash.new_entry(opened) as entry:
        directory = opened.find("task_1")
        assert directory is not None
        entry.take_in(directory, ID)
        entry.put_back(ID, "task_1")
        entry.discard()
    assert (snapshot(task), task.stat().st_ino) == (tree, inode)
    assert entries(root) == []


def test_a_directory_is_not_put_back_onto_another(root: StorageRoot) -> None:
    fill(root.path / "task_1")
    with root.open() as opened, trash.new_entry(opened) as entry:
        directory = opened.find("task_1")
        assert directory is not None
        entry.take_in(directory, ID)
        (root.path / "task_1").mkdir()
        with pytest.raises(FileExistsError):
            entry.put_back(ID, "task_1")
        assert ID in entry.held()
    assert os.listdir(root.path / "task_1") == []


@pytest.mark.parametrize("kind", ["directory", "link", "file"])
def test_what_was_swapped_since_it_was_looked_at_is_put_back(root: StorageRoot, tmp_path: Path, kind: str) -> None:
    task = fill(root.path / "task_1")
    with root.open() as opened, trash.new_entry(opened) as entry:
        directory = opened.find("task_1")
        assert directory is not None
        task.rename(root.path / "moved")
        if kind == "directory":
            fill(task, 5)
        elif kind == "link":
            task.symlink_to(tmp_path)
        else:
            task.write_text("data")
        before = snapshot(task)
        with pytest.raises(MovedSomethingElse):
            entry.take_in(directory, ID)
        assert ID not in entry.held()
        assert snapshot(task) == before
        entry.discard()


def test_an_entry_that_holds_something_is_not_discarded(root: StorageRoot) -> None:
    fill(root.path / "task_1")
    with root.open() as opened, trash.new_entry(opened) as entry:
        directory = opened.find("task_1")
        assert directory is not None
        entry.take_in(directory, ID)
        with pytest.raises(OSError) as caught:
            entry.discard()
        assert caught.value.errno == errno.ENOTEMPTY
        assert ID in entry.held()


def test_an_entry_is_locked_while_it_is_worked_on(root: StorageRoot) -> None:
    with root.open() as opened:
        with trash.new_entry(opened) as entry:
            assert trash.entry_ids(opened) == [entry.entry_id]
            with trash.existing_entry(opened, entry.entry_id) as second:
                assert second is None
        with trash.existing_entry(opened, entry.entry_id) as third:
            assert third is not None
            with trash.existing_entry(opened, entry.entry_id) as fourth:
                assert fourth is None
            third.discard()
            with trash.existing_entry(opened, entry.entry_id) as gone:
                assert gone is None


@pytest.mark.parametrize("kind", ["absent", "file", "link"])
def test_what_is_no_entry_is_none(root: StorageRoot, kind: str, tmp_path: Path) -> None:
    with root.open() as opened:
        assert trash.entry_ids(opened) == []
        assert not (root.path / ".sweepd" / "trash").exists()  # to look makes nothing
        path = root.path / ".sweepd" / "trash" / "x"
        path.parent.mkdir()
        if kind == "file":
            path.touch()
        elif kind == "link":
            path.symlink_to(tmp_path)
        with trash.existing_entry(opened, "x") as entry:
            assert entry is None


def test_making_entries_and_clearing_empty_ones_at_once_never_fails(root: StorageRoot) -> None:
    stop = threading.Event()
    cleared: list[str] = []

    def clear() -> None:
        with root.open() as opened:
            while not stop.is_set():
                for entry_id in trash.entry_ids(opened):
                    with trash.existing_entry(opened, entry_id) as entry:
                        if entry is not None and entry.read_manifest() is None and ID not in entry.held():
                            entry.discard()
                            cleared.append(entry_id)

    thread = threading.Thread(target=clear)
    thread.start()
    made = []
    try:
        with root.open() as opened:
            for _ in range(300):
                with trash.new_entry(opened) as entry:
                    entry.write_manifest({"n": 1})
                    made.append(entry.entry_id)
    finally:
        stop.set()
        thread.join()
    assert set(made) <= set(entries(root))
    assert not set(made) & set(cleared)


def test_a_quarantined_entry_is_kept_whole(root: StorageRoot) -> None:
    fill(root.path / "task_1")
    tree = snapshot(root.path / "task_1")
    with root.open() as opened, trash.new_entry(opened) as entry:
        directory = opened.find("task_1")
        assert directory is not None
        entry.take_in(directory, ID)
        entry.quarantine()
    assert entries(root) == []
    assert snapshot(root.path / ".sweepd" / "quarantine" / entry.entry_id / ID) == tree


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_an_unreadable_manifest_is_none(root: StorageRoot, content: bytes) -> None:
    with root.open() as opened, trash.new_entry(opened) as entry:
        (root.path / ".sweepd" / "trash" / entry.entry_id / "manifest.json").write_bytes(content)
        assert entry.read_manifest() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"{}", b'{"files": "x"}', b'{"files": 1}', b"\xff"])
def test_an_unreadable_census_is_an_error_and_is_not_taken_again(root: StorageRoot, content: bytes) -> None:
    """A purge may have begun: what is left is not what there was."""
    fill(root.path / "task_1")
    with root.open() as opened, trash.new_entry(opened) as entry:
        directory = opened.find("task_1")
        assert directory is not None
        entry.take_in(directory, ID)
        census = root.path / ".sweepd" / "trash" / entry.entry_id / f"{ID}.census"
        census.write_bytes(content)
        with pytest.raises(OSError, match="census"):
            entry.count(ID, WORKERS)
        assert census.read_bytes() == content
        assert ID in entry.held()


def test_an_entry_without_data_counts_as_nothing(root: StorageRoot) -> None:
    with root.open() as opened, trash.new_entry(opened) as entry:
        assert entry.count(ID, WORKERS) == NOTHING


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [trash.new_deletion_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert [made[:12] for made in ids] == sorted(made[:12] for made in ids)
    assert all(len(made) == 28 and int(made, 16) for made in ids)


class Trace:
    """What is written, synced and renamed, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        fsync, replace, rename = os.fsync, os.replace, syscalls.rename_noreplace

        def sync(fd: int) -> None:
            self.steps.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
            fsync(fd)

        def put(source: str, target: str, **descriptors: int) -> None:
            self.steps.append(f"replace {target}")
            replace(source, target, **descriptors)

        def move(from_fd: int, from_name: str, to_fd: int, to_name: str) -> None:
            self.steps.append(f"rename {from_name} {to_name}")
            rename(from_fd, from_name, to_fd, to_name)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "replace", put)
        monkeypatch.setattr(moves, "rename_noreplace", move)


def test_a_small_file_is_synced_before_it_takes_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    durable.write_json(fd, "a.json", {"n": 1})
    trace = Trace(monkeypatch)
    durable.write_json(fd, "a.json", {"n": 2})
    assert durable.read_json(fd, "a.json") == {"n": 2}
    os.close(fd)
    assert trace.steps == ["fsync a.json.tmp", "replace a.json", f"fsync {tmp_path.name}"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    durable.write_json(fd, "a.json", {"n": 1})

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        durable.write_json(fd, "a.json", {"n": 2})
    assert durable.read_json(fd, "a.json") == {"n": 1}
    os.close(fd)


def test_the_manifest_is_durable_before_the_move_and_the_move_on_both_sides(
    root: StorageRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root.path / "task_1")
    with root.open() as opened, trash.new_entry(opened) as entry:
        trace = Trace(monkeypatch)
        directory = opened.find("task_1")
        assert directory is not None
        entry.write_manifest({"n": 1})
        entry.take_in(directory, ID)
        entry.sync()
        entry.count(ID, WORKERS)
        assert trace.steps == [
            "fsync manifest.json",
            f"fsync {entry.entry_id}",
            "fsync trash",
            f"rename task_1 {ID}",
            f"fsync {entry.entry_id}",
            "fsync root",
            f"fsync {ID}.census.tmp",
            f"replace {ID}.census",
            f"fsync {entry.entry_id}",
        ]


def test_a_manifest_is_readable_by_nobody_else(root: StorageRoot) -> None:
    with root.open() as opened, trash.new_entry(opened) as entry:
        entry.write_manifest({"initiator": "api:127.0.0.1"})
        place = root.path / ".sweepd" / "trash" / entry.entry_id
        assert place.stat().st_mode & 0o077 == 0
        assert (place / "manifest.json").stat().st_mode & 0o077 == 0
        assert json.loads((place / "manifest.json").read_text()) == {"initiator": "api:127.0.0.1"}


def test_a_reserve_that_could_not_be_filled_is_made_once_there_is_room(
    root: StorageRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over_quota(*_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with root.open() as opened:
        with monkeypatch.context() as patched:
            patched.setattr(os, "posix_fallocate", over_quota)
            reserve.keep(opened)
        reserve.keep(opened)
    sizes = [path.stat().st_size for path in (root.path / ".sweepd" / "reserve").iterdir()]
    assert (len(sizes), min(sizes) > 0) == (16, True)
