"""Fixtures of the file system's tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.storage import syscalls
from daemon.storage.root import StorageRoot, mark
from support.processes import ForkServer


@pytest.fixture(scope="session")
def processes() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


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
