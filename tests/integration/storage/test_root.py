"""Nothing is concluded from a folder that has not proven to be the right one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from daemon.errors import ErrorCode, RootUnavailable, TaskRefused
from daemon.storage import syscalls
from daemon.storage.root import StorageRoot, mark
from support.processes import ForkServer
from support.trees import fill, snapshot


def refusal(root: StorageRoot) -> str:
    with pytest.raises(RootUnavailable) as caught, root.open():
        pass
    assert caught.value.code is ErrorCode.ROOT_UNAVAILABLE
    return str(caught.value)


def marker(root: StorageRoot) -> Path:
    return root.path / ".sweepd" / "root.json"


def test_marking_creates_the_root_and_keeps_its_id_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    first = mark(path)
    before = snapshot(path)
    assert mark(path) == first
    assert snapshot(path) == before
    assert (path / ".sweepd").stat().st_mode & 0o777 == 0o700
    with StorageRoot(path, lambda: first).open() as opened:
        assert opened.root_id == first


def test_marking_leaves_what_is_already_there(tmp_path: Path) -> None:
    fill(tmp_path / "root" / "task_1")
    before = snapshot(tmp_path / "root" / "task_1")
    mark(tmp_path / "root")
    assert snapshot(tmp_path / "root" / "task_1") == before


def test_two_roots_have_two_ids(tmp_path: Path) -> None:
    assert mark(tmp_path / "a") != mark(tmp_path / "b")


def test_marking_in_many_processes_at_once_gives_one_id(tmp_path: Path, processes: ForkServer) -> None:
    for round_ in range(5):
        path = tmp_path / f"root-{round_}"
        children = [processes.spawn("support.limits:mark_root", path=str(path)) for _ in range(4)]
        assert len({child.wait().value for child in children} | {mark(path)}) == 1
        assert os.listdir(path / ".sweepd") == ["root.json"]


def test_a_half_made_mark_is_finished(tmp_path: Path) -> None:
    (tmp_path / "root" / ".sweepd").mkdir(parents=True)
    (tmp_path / "root" / ".sweepd" / "root.json.tmp").write_text("{")
    root_id = mark(tmp_path / "root")
    with StorageRoot(tmp_path / "root", lambda: root_id).open():
        pass


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_not_marked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "root"
    path.write_text("data") if kind == "file" else path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RootUnavailable):
        mark(path)
    assert path.is_symlink() or path.read_text() == "data"
    assert not (tmp_path / "nowhere").exists()


def test_a_missing_root_is_unavailable(root: StorageRoot) -> None:
    root.path.rename(root.path.with_name("moved"))
    assert "mounted" in refusal(root)
    assert not root.path.exists()


def test_a_root_that_is_not_a_directory_is_unavailable(root: StorageRoot) -> None:
    shutil.rmtree(root.path)
    root.path.write_text("")
    refusal(root)


def test_an_unmarked_root_is_unavailable_and_stays_unmarked(root: StorageRoot) -> None:
    shutil.rmtree(root.path / ".sweepd")
    assert "sweepd init" in refusal(root)
    assert os.listdir(root.path) == []


def test_a_root_whose_marker_alone_is_gone_is_unavailable(root: StorageRoot) -> None:
    marker(root).unlink()
    assert "sweepd init" in refusal(root)


def test_another_root_in_its_place_is_unavailable(root: StorageRoot, tmp_path: Path) -> None:
    other = mark(tmp_path / "other")
    root.path.rename(tmp_path / "first")
    (tmp_path / "other").rename(root.path)
    assert other in refusal(root)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"id"', b"{}", b'{"id": null}', b'{"id": 1}', b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "text", "no-id", "null-id", "number", "not-utf8", "nested"],
)
def test_a_damaged_marker_makes_the_root_unavailable_and_is_not_replaced(root: StorageRoot, content: bytes) -> None:
    marker(root).write_bytes(content)
    refusal(root)
    with pytest.raises(RootUnavailable):
        mark(root.path)
    assert marker(root).read_bytes() == content


@pytest.mark.parametrize("way", ["openat2", "portable"])
def test_a_state_folder_that_is_a_symlink_is_not_followed(
    root: StorageRoot, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "_has_openat2", way == "openat2")
    (root.path / ".sweepd").rename(tmp_path / "state")
    (root.path / ".sweepd").symlink_to(tmp_path / "state")
    refusal(root)
    with pytest.raises(RootUnavailable):
        mark(root.path)


def test_a_marker_that_is_a_symlink_is_not_followed(root: StorageRoot, tmp_path: Path) -> None:
    marker(root).rename(tmp_path / "marker")
    marker(root).symlink_to(tmp_path / "marker")
    refusal(root)


def test_a_symlink_to_the_root_is_the_root(root: StorageRoot, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root.path)
    root_id = json.loads(marker(root).read_text())["id"]
    with StorageRoot(tmp_path / "link", lambda: root_id).open() as opened:
        assert opened.root_id == root_id


def test_opening_and_refusing_leak_no_descriptors(root: StorageRoot) -> None:
    fill(root.path / "task_1")
    (root.path / "task_2").symlink_to("task_1")

    def use() -> None:
        with root.open() as opened:
            opened.find("task_1")
            opened.find("task_none")
            with pytest.raises(TaskRefused):
                opened.find("task_2")
        marker(root).rename(marker(root).with_suffix(".away"))
        refusal(root)
        marker(root).with_suffix(".away").rename(marker(root))

    use()
    held = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        use()
    assert len(os.listdir("/proc/self/fd")) == held


@pytest.mark.parametrize("kind", ["link", "dangling", "file", "fifo"])
def test_what_is_no_directory_is_no_task_directory(root: StorageRoot, tmp_path: Path, kind: str) -> None:
    path, outside = root.path / "task_1", fill(tmp_path / "outside")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "file":
        path.write_text("data")
    else:
        path.symlink_to(outside if kind == "link" else "nowhere")
    with root.open() as opened:
        with pytest.raises(TaskRefused) as caught:
            opened.find("task_1")
        assert list(opened.names()) == []
    assert caught.value.code is ErrorCode.UNSAFE_DIRECTORY
    assert os.path.lexists(path)


def test_the_names_of_a_root_are_those_of_task_directories(root: StorageRoot) -> None:
    for name in ("task_1", "manual_2", ".hidden", "-x", "name with space", os.fsdecode(b"\xff")):
        (root.path / name).mkdir()
    (root.path / "file").touch()
    with root.open() as opened:
        assert sorted(opened.names()) == ["manual_2", "task_1"]


def test_a_task_directory_is_found_as_the_one_it_is(root: StorageRoot) -> None:
    fill(root.path / "task_1")
    status = (root.path / "task_1").stat()
    with root.open() as opened:
        found = opened.find("task_1")
        assert found is not None
        assert (found.task_id, found.found.device) == ("task_1", (os.major(status.st_dev), os.minor(status.st_dev)))
        assert found.found.identity.inode == status.st_ino
        assert opened.find("task_2") is None
