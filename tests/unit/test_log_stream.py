"""Standard error that is full, gone, closed or on a full disk: no line blocks anybody, and lost ones are counted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon import log_stream
from daemon.log_stream import PatientStream

LINE = "x" * 99 + "\n"


class Pipe:
    """A small pipe that is read when the test wants it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self.stream = PatientStream(self.writer)
        self.dropped = 0
        self.told: list[int] = []
        self.stream.dropped = self._drop
        self.stream.resumed = self.told.append

    def _drop(self) -> None:
        self.dropped += 1

    def read(self) -> bytes:
        """Whatever comes within a moment."""
        os.set_blocking(self.reader, False)
        found, end = b"", time.monotonic() + 10
        while time.monotonic() < end:
            try:
                found += os.read(self.reader, 1 << 16)
            except BlockingIOError:
                with self.stream._lock:
                    if not self.stream._waiting:
                        break
                time.sleep(0.001)
        return found


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    with contextlib.suppress(OSError):
        os.close(made.reader)
    made.stream.drain(10)  # or what waits would go to whatever has the number of this descriptor next
    with contextlib.suppress(OSError):
        os.close(made.writer)


def test_what_is_read_arrives_at_once(pipe: Pipe) -> None:
    pipe.stream.write("önce\n")
    assert os.read(pipe.reader, 100).decode("utf-8") == "önce\n"


def test_a_full_pipe_blocks_nobody_and_every_line_arrives_in_order_once_it_is_read(pipe: Pipe) -> None:
    lines = [f"{number:05} {'x' * 93}\n" for number in range(1000)]
    started = time.monotonic()
    for line in lines:
        pipe.stream.write(line)
    assert time.monotonic() - started < 5
    assert pipe.read().decode("ascii") == "".join(lines)
    assert (pipe.dropped, pipe.told) == (0, [])


def test_what_does_not_fit_is_lost_counted_and_told(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_stream, "MOST_WAITING", 65_536)
    most = (65_536 + 4096) // len(LINE)
    for _ in range(most + 500):
        pipe.stream.write(LINE)
    assert 400 <= pipe.dropped <= 600
    found = pipe.read().decode("ascii").splitlines(keepends=True)
    assert set(found) == {LINE}, "no line is cut"
    assert len(found) == most + 500 - pipe.dropped
    _until(lambda: pipe.told == [pipe.dropped])


def test_a_line_longer_than_a_pipe_arrives_whole(pipe: Pipe) -> None:
    pipe.stream.write("y" * 20_000 + "\n")
    pipe.stream.write("next\n")
    assert pipe.read() == b"y" * 20_000 + b"\nnext\n"


def test_a_pipe_without_a_reader_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    os.close(pipe.reader)
    for _ in range(3):
        pipe.stream.write(LINE)
    assert (pipe.dropped, pipe.told) == (3, [])


def test_a_reader_that_leaves_while_lines_wait(pipe: Pipe) -> None:
    for _ in range(100):
        pipe.stream.write(LINE)
    os.close(pipe.reader)
    _until(lambda: pipe.dropped >= 59)
    pipe.stream.write(LINE)
    assert pipe.dropped <= 101


def test_a_fifo_that_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    told: list[int] = []
    stream = PatientStream(writer)
    stream.resumed = told.append
    os.close(reader)
    stream.write("lost\n")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    stream.write("again\n")
    assert os.read(reader, 100) == b"again\n"
    assert told == [1]
    for fd in (reader, writer):
        os.close(fd)


def test_a_closed_descriptor(pipe: Pipe) -> None:
    os.close(pipe.writer)
    pipe.stream.write(LINE)
    assert pipe.dropped == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    lost: list[int] = []
    stream = PatientStream(fd)
    stream.dropped = lambda: lost.append(1)
    stream.write(LINE)
    assert lost == [1]
    os.close(fd)


def test_the_end_waits_for_lines_but_not_for_ever(pipe: Pipe) -> None:
    for _ in range(100):
        pipe.stream.write(LINE)
    started = time.monotonic()
    pipe.stream.drain(0.1)
    assert 0.05 < time.monotonic() - started < 5


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
