"""What is mounted inside a task directory is not the task's."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daemon.errors import ErrorCode
from support.processes import ForkServer


@pytest.fixture(autouse=True)
def _mounting(processes: ForkServer) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything, not even in a mount table of their own"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.parametrize("portable", [False, True], ids=["openat2", "portable"])
@pytest.mark.parametrize("place", ["mounted", "a/b/with space", "/".join(["d"] * 40)], ids=["top", "inside", "deep"])
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_a_mount_inside_is_refused_before_the_move_and_stops_a_removal(
    tmp_path: Path, processes: ForkServer, kind: str, place: str, portable: bool
) -> None:
    ended = processes.run(
        "support.mounts:scenario", folder=str(tmp_path), kind=kind, place=place, portable=portable
    ).value
    assert ended["refusal"] == ErrorCode.UNSAFE_DIRECTORY
    assert ended["errno"] == errno.EXDEV
    assert ended["where"] == f"task_1/{place}"
    assert ended["mounted"], "what is mounted was touched"


@pytest.mark.parametrize("portable", [False, True], ids=["openat2", "portable"])
def test_a_task_directory_that_is_a_mount_point_is_refused(
    tmp_path: Path, processes: ForkServer, portable: bool
) -> None:
    ended = processes.run("support.mounts:scenario", folder=str(tmp_path), kind="bind", place="", portable=portable)
    assert ended.value["refusal"] == ErrorCode.UNSAFE_DIRECTORY
    assert ended.value["errno"] == errno.EXDEV
    assert ended.value["mounted"]


def test_a_root_that_is_covered_by_another_folder_is_unavailable(tmp_path: Path, processes: ForkServer) -> None:
    assert processes.run("support.mounts:bind_over_root", folder=str(tmp_path)).value == "RootUnavailable"
