"""Fixtures of the file system's tests."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.storage import syscalls
from daemon.storage.root import StorageRoot, mark
from support import scratch


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """On the disk, whose file system is not the one in memory, but for those who make thousands of files."""
    disk = scratch.on_disk()
    if disk is None or request.node.get_closest_marker("many_files") is not None:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="sweepd-storage-", dir=disk, ignore_cleanup_errors=True) as made:
        yield Path(made)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is cleaned up however deep a failed test leaves its trees."""
    path = tmp_path / "folder"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=False)


@pytest.fixture
def folder_fd(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture(params=["openat2", "portable"])
def _each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with the kernel's safe open and with its replacement."""
    monkeypatch.setattr(syscalls, "_has_openat2", request.param == "openat2")


@pytest.fixture
def root(tmp_path: Path) -> StorageRoot:
    """A marked root at ``tmp_path/root``."""
    root_id = mark(tmp_path / "root")
    return StorageRoot(tmp_path / "root", lambda: root_id)
