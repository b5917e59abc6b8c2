"""A storage root that is covered by another file system while the daemon runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import ForkServer


@pytest.fixture
def processes() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


def test_a_covered_root_stops_everything_says_why_and_goes_on_by_itself_when_it_is_back(
    tmp_path: Path, processes: ForkServer
) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    said = processes.run("support.mounts:cover_running_daemon", folder=str(tmp_path)).value
    assert said["checks"]["ready"] is False
    assert "is not marked as a storage root" in said["checks"]["problem"]
    assert (said["delete"], said["sweep"], said["row"], said["covered"]) == ("ROOT_UNAVAILABLE", 5, True, [])
    assert (said["ready"], said["deleted"]) == (200, True)
