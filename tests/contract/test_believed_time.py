"""The last time that was believed outlives the process: what a clock that is wrong at the start may not do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from daemon import clock
from daemon.catalog.clock_guard import LONGEST_OFF, ClockGuard, InProcess
from daemon.catalog.instants import Instant
from daemon.clock import Moment
from daemon.storage import marks
from daemon.storage.marks import BelievedTime
from support.site import Site

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
OTHER_BOOT = "b" * 32
Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Sets the clocks of the machine: ``wall`` and ``boot`` ahead of what they are, another boot, NTP or not."""
    began = clock.moment()

    def become(
        wall: timedelta = timedelta(), *, boot: timedelta = timedelta(), other: bool = False, synchronized: bool = False
    ) -> None:
        monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + wall)
        monkeypatch.setattr(clock, "since_boot", lambda: began.since_boot + boot)
        monkeypatch.setattr(clock, "boot_id", lambda: OTHER_BOOT if other else "a" * 32)
        monkeypatch.setattr(clock, "synchronized", lambda: synchronized)

    become()
    return become


@pytest.fixture
def start(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[[], ClockGuard]:
    """Makes the guard of a process that has just started. The database is on the same machine: its clock agrees."""
    monkeypatch.setattr(
        site.catalog.timeline, "now", lambda _connection, _at: Instant(clock.now(), clock.now().replace(tzinfo=None))
    )
    return lambda: ClockGuard(site.catalog, BelievedTime(site.root))


def test_the_root_keeps_the_moment_beside_the_marks(site: Site) -> None:
    with site.root.open() as root:
        assert marks.read_moment(root) is None
        marks.write(root, {"deletion": "d" * 28})
        here = Moment(datetime(2026, 3, 4, 5, 6, 7, 89, UTC), timedelta(days=3, microseconds=5), "c" * 32)
        marks.write_moment(root, here)
        assert (marks.read_moment(root), marks.read(root)) == (here, {"deletion": "d" * 28})
        marks.write(root, {"hold": "e" * 28})
        assert marks.read_moment(root) == here
        (site.path / ".sweepd" / "marks").write_bytes(b"x" * 300)
        assert marks.read_moment(root) is None


@pytest.mark.parametrize("ahead", [30 * DAY, 6 * MINUTE, -6 * MINUTE, -30 * DAY])
def test_a_restart_does_not_forget_a_jump_while_the_machine_runs(
    start: Callable[[], ClockGuard], machine: Machine, ahead: timedelta
) -> None:
    assert start().problem() is None
    machine(ahead, synchronized=True)  # somebody set it, and nobody has looked
    for _ in range(2):
        assert "jumped" in str(start().problem())
    machine()
    assert start().problem() is None


def test_what_has_passed_while_the_machine_ran_is_no_jump(start: Callable[[], ClockGuard], machine: Machine) -> None:
    assert start().problem() is None
    machine(400 * DAY + 240 * MINUTE, boot=400 * DAY)  # NTP slews
    assert start().problem() is None


def test_after_a_start_of_the_machine_a_long_time_needs_a_synchronized_clock(
    start: Callable[[], ClockGuard], machine: Machine
) -> None:
    assert start().problem() is None
    machine(LONGEST_OFF - MINUTE, other=True)
    assert start().problem() is None
    machine(30 * DAY)
    guard = start()
    assert "nothing has synchronized" in str(guard.problem())
    assert "sweepd accept-clock" in str(guard.problem())
    machine(30 * DAY, synchronized=True)
    assert guard.problem() is None, "it goes on by itself"
    machine(30 * DAY)
    assert start().problem() is None, "and has remembered it"


def test_after_a_start_of_the_machine_an_earlier_time_is_not_believed(
    start: Callable[[], ClockGuard], machine: Machine
) -> None:
    assert start().problem() is None
    machine(-DAY, other=True)
    assert "behind" in str(start().problem())


def test_a_person_accepts_it_for_processes_that_run_and_that_start(
    start: Callable[[], ClockGuard], machine: Machine
) -> None:
    running = start()
    assert running.problem() is None
    machine(30 * DAY)
    assert running.problem() is not None
    assert start().accept() is not None
    assert running.problem() is None
    assert start().problem() is None
    assert start().accept() is None


def test_a_clock_that_the_database_contradicts_is_never_believed(site: Site, machine: Machine) -> None:
    if site.store.sqlite:
        pytest.skip("there is one clock only")
    memory = InProcess()
    machine(30 * DAY)
    guard = ClockGuard(site.catalog, memory)
    assert "apart" in str(guard.problem())
    with pytest.raises(ValueError, match="apart"):
        guard.accept()
    assert memory.read() is None
    machine()
    assert guard.problem() is None, "it is right now, and was never believed before"
