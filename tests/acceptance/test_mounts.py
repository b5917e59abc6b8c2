"""A storage root that is covered by another file system while the daemon runs, and other reasons not to believe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import Installation
from support.processes import ForkServer


@pytest.fixture
def processes() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def mounting(processes: ForkServer) -> ForkServer:
    """The same, where mounting is possible."""
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return processes


def test_a_covered_root_stops_everything_says_why_and_goes_on_by_itself_when_it_is_back(
    tmp_path: Path, mounting: ForkServer
) -> None:
    said = mounting.run("support.mounts:cover_running_daemon", folder=str(tmp_path)).value
    assert said["checks"]["ready"] is False
    assert "is not marked as a storage root" in said["checks"]["problem"]
    assert (said["delete"], said["sweep"], said["row"], said["covered"]) == ("ROOT_UNAVAILABLE", 5, True, [])
    assert (said["ready"], said["deleted"]) == (200, True)


def test_a_root_that_takes_no_changes_at_the_start_is_waited_for(tmp_path: Path, mounting: ForkServer) -> None:
    said = mounting.run("support.mounts:start_on_a_root_that_takes_no_changes", folder=str(tmp_path)).value
    assert said == {"refused": ["storage_root", "ROOT_UNAVAILABLE"], "answers": [200, 503], "ended": 0}


def test_a_full_disk_with_everything_on_it_ends_nothing(tmp_path: Path, mounting: ForkServer) -> None:
    """Root, SQLite database and log. What cannot be committed is refused, and goes through once there is space."""
    said = mounting.run("support.mounts:fill_running_daemon", folder=str(tmp_path)).value
    assert said["free"] == 0
    assert set(said["full"]) <= {200, 503}
    assert said["live"] == 200
    assert said["again"] == [200] * 10
    assert (said["same"], said["ended"], said["last"]) == (True, 0, "stopped")
    assert said["dropped"] > 0
    assert said["fates"] == ["deleted"]


def test_an_empty_file_system_an_emptied_table_and_a_clock_ahead_delete_nothing_and_raise_three_alarms(
    installation: Installation, mounting: ForkServer
) -> None:
    arguments = {"folder": str(installation.folder), "url": installation.url}
    said = mounting.run("support.mounts:raise_every_alarm", **arguments).value
    assert (said["journal"], said["directories"], said["whole"]) == ([], True, True)
    assert said["covered"] == "ROOT_UNAVAILABLE"
    assert said["emptied"] == ["CATALOG_EMPTY", "CATALOG_EMPTY"]
    assert said["ahead"] == "CLOCK_UNRELIABLE"
    assert said["at last"] == "success", "as soon as all is as it should be, it goes on"
