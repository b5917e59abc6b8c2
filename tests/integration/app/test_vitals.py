"""What starves the watchdog, and what does not: real threads, and real worker processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import structlog

from daemon import systemd
from daemon.app.vitals import Lasting, Vitals, standing_of
from daemon.app.watchdog import watched
from daemon.storage.workers import Workers
from support.trees import fill

PATIENCE_S = 0.2
_END_S = 20.0
_CHILDREN_S = 50.0  # on a busy machine processes take seconds to start


@contextmanager
def living(work: Callable[[], object], release: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work, name="janitor", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        release()
        thread.join(_END_S)
        assert not thread.is_alive()


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(2, priority="normal")
    yield made
    made.close()


def vitals_of(thread: threading.Thread, workers: Workers, *, turns: bool = True) -> Vitals:
    lasting = Lasting(thread, turns=turns)
    return Vitals(lambda: [lasting], workers, thread_patience_s=PATIENCE_S, worker_patience_s=PATIENCE_S)


def looked(vitals: Vitals, seconds: float = 3 * PATIENCE_S) -> list[str]:
    """What is wrong after that many seconds of looking, or as soon as something is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if problems := vitals.look():
            return problems
        time.sleep(0.02)
    return []


def test_a_thread_that_waits_for_ever_for_another_one_is_noticed(workers: Workers) -> None:
    lock = threading.Lock()
    lock.acquire()
    with living(lock.acquire, lock.release) as thread:
        [problem] = looked(vitals_of(thread, workers), _END_S)
    assert "the thread janitor has waited for another one" in problem


def test_a_thread_that_sleeps_until_it_is_needed_is_not(workers: Workers) -> None:
    needed = threading.Event()
    with living(needed.wait, needed.set) as thread:
        assert looked(vitals_of(thread, workers, turns=False)) == []


def test_a_thread_that_turns_is_fine(workers: Workers) -> None:
    stop = threading.Event()

    def turn() -> None:
        while not stop.wait(PATIENCE_S / 4):
            pass

    with living(turn, stop.set) as thread:
        assert looked(vitals_of(thread, workers)) == []


def test_a_thread_that_computes_for_long_is_fine(workers: Workers) -> None:
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    with living(compute, stop.set) as thread:
        assert looked(vitals_of(thread, workers)) == []


def test_a_thread_that_waits_for_the_database_is_fine(workers: Workers) -> None:
    """A restart would not bring the database's answer."""
    here, there = socket.socketpair()
    with here, there, living(lambda: here.recv(1), lambda: there.send(b"x")) as thread:
        assert looked(vitals_of(thread, workers)) == []


@pytest.mark.parametrize("turns", [True, False])
def test_a_thread_that_has_ended_is_noticed(workers: Workers, turns: bool) -> None:
    thread = threading.Thread(target=lambda: None, name="scanning")
    thread.start()
    thread.join()
    assert vitals_of(thread, workers, turns=turns).look() == ["the thread scanning has ended"]


def test_time_in_which_the_daemon_itself_stood_still_counts_for_nobody(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = threading.Lock()
    lock.acquire()
    now = time.monotonic()
    with living(lock.acquire, lock.release) as thread:
        vitals = Vitals(lambda: [Lasting(thread)], workers)
        while (standing := standing_of(f"/proc/self/task/{thread.native_id}")) is None or not standing.wait:
            time.sleep(0.01)
        for hours in (0, 1, 2):
            monkeypatch.setattr("daemon.clock.monotonic", lambda hours=hours: now + 3600 * hours)
            assert vitals.look() == []


def test_a_worker_that_stands_still_is_ended_and_the_count_is_exact(tmp_path: Path, workers: Workers) -> None:
    """And the thread that waits for it is not what is wrong."""
    for number in range(70):
        fill(tmp_path / f"tree-{number}", 30)
    parent = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    names = sorted(os.listdir(parent))
    stopped: set[int] = set()
    counts = []

    def release() -> None:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    with living(lambda: counts.extend(workers.count(parent, names)), release) as thread:
        vitals = Vitals(lambda: [Lasting(thread)], workers, thread_patience_s=_END_S, worker_patience_s=PATIENCE_S)
        end = time.monotonic() + _CHILDREN_S
        while thread.is_alive() and time.monotonic() < end:
            for child in workers.at_work() if not stopped else ():
                os.kill(child.pid, signal.SIGSTOP)
                stopped.add(child.pid)
            if stopped:
                assert vitals.look() == []
            time.sleep(0 if not stopped else 0.02)
        assert not thread.is_alive()
    os.close(parent)
    assert stopped
    assert [count.files for count in counts] == [30] * 70
    assert workers.at_work() == []


@contextmanager
def service_manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit_s: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(limit_s * 1e6)))
        yield manager


def fed(manager: socket.socket) -> int:
    """How often, since it was asked last."""
    times = 0
    while True:
        try:
            assert manager.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            return times
        times += 1


async def test_the_watchdog_is_fed_while_all_is_well_and_not_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    problems: list[str] = []
    counted: list[int] = []
    with service_manager(monkeypatch, tmp_path, 0.15) as manager, structlog.testing.capture_logs() as logs:
        async with watched(lambda: list(problems), counted.append):
            while not fed(manager):
                await asyncio.sleep(0.01)
            problems.append("the thread janitor has ended")
            while not logs:
                await asyncio.sleep(0.01)
            fed(manager)
            await asyncio.sleep(0.3)
            assert fed(manager) == 0
            problems.clear()
            while not fed(manager):
                await asyncio.sleep(0.01)
    assert [entry["event"] for entry in logs] == ["watchdog_starved", "watchdog_fed_again"]
    assert logs[0]["problems"] == ["the thread janitor has ended"]
    assert [number for number, _ in itertools.groupby(counted)] == [0, 1, 0]


async def test_an_event_loop_that_hangs_feeds_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with service_manager(monkeypatch, tmp_path, 0.15) as manager:
        async with watched(list, lambda _: None):
            while not fed(manager):
                await asyncio.sleep(0.01)
            time.sleep(0.3)
            assert fed(manager) == 0


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),  # another process's
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_limit_is_the_one_that_is_meant_for_this_process(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], seconds: float | None
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert systemd.watchdog_s() == seconds
