"""How far a job is, and how long it will take."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from daemon import clock
from daemon.catalog.inventory import Counted
from daemon.deletion.progress import Purges
from daemon.jobs.progress import Meter
from daemon.storage.census import Census

MODIFIED = datetime(2025, 7, 2, tzinfo=UTC)


def counted(files: int) -> Counted:
    return Counted(files, 1, files * 10, files * 10, MODIFIED)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, to be set."""
    present = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: present[0])
    return present


def test_a_job_that_waits_knows_nothing_yet() -> None:
    progress = Meter(10).read(Purges(), ())
    assert (progress.tasks_total, progress.tasks_done, progress.remaining_seconds) == (10, 0, None)


def test_files_are_those_done_those_being_removed_and_those_the_inventory_expects(passing: list[float]) -> None:
    meter, purges = Meter(3), Purges()
    meter.start({name: counted(100) for name in ("task_1", "task_2", "task_3")})
    meter.tasks_done, meter.deleted, meter.files, meter.size_bytes = 1, 1, 100, 1000
    meter.forget("task_1")
    with purges.watch(["task_2"], [Census(120, 1, 1200, 1200)]) as purge:
        purge.add(60)
        passing[0] += 10
        progress = meter.read(purges, ("task_2",))
    assert (progress.files_total, progress.files_done) == (320, 160)
    assert (progress.bytes_total, progress.bytes_done) == (3200, 1600)
    assert progress.files_per_second == pytest.approx(16)
    assert progress.remaining_seconds == pytest.approx(10)
    assert meter.read(purges, ()).files_done == 160, "it never goes back between a purge and its note"


def test_without_an_inventory_the_tasks_say_how_long_it_takes(passing: list[float]) -> None:
    meter = Meter(10)
    meter.start({})
    passing[0] += 4
    meter.tasks_done = 2
    assert meter.read(Purges(), ()).remaining_seconds == pytest.approx(16)
    meter.tasks_done = 10
    assert meter.read(Purges(), ()).remaining_seconds == 0


def test_purges_of_others_do_not_count() -> None:
    meter, purges = Meter(1), Purges()
    with purges.watch(["task_9"], [Census(120, 1, 1200, 1200)]) as purge:
        purge.add(60)
        assert meter.read(purges, ("task_1",)).files_total == 0
