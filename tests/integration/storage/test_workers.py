"""Large trees with child processes: nothing is counted twice, forgotten or left, whatever becomes of a child."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.storage import census
from daemon.storage.census import Measurement, ScanEnded
from daemon.storage.growth import MOST, Growth
from daemon.storage.pacing import Pace
from daemon.storage.progress import Progress
from daemon.storage.workers import Workers
from support.trees import chain, count

pytestmark = pytest.mark.many_files


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(2, priority="normal")  # the other tests want the processor too
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def wide(path: Path, directories: int = 60, files: int = 40) -> Path:
    """Many files, symlinks, and hard links across its subdirectories."""
    for number in range(directories):
        inner = path / f"part-{number:03}" / "deep"
        inner.mkdir(parents=True)
        for index in range(files):
            with open(f"{inner}/file-{index}", "wb", 0) as file:
                file.write(b"x" * (index % 50))
        os.symlink("nowhere", inner / "link")
        if number:
            os.link(path / "part-000" / "deep" / f"file-{number % files}", inner / "twin")
    return path


def flat(path: Path, files: int = 14_000) -> Path:
    """So many that the directory itself is large on any file system: tmpfs gives it 20 bytes for each."""
    path.mkdir()
    for number in range(files):
        os.mknod(f"{path}/a-rather-long-name-to-make-the-directory-large-{number:06}")
    return path


def children(parent: int | None = None) -> set[int]:
    """The worker processes of a process."""
    found: set[int] = set()
    for path in Path(f"/proc/{parent or os.getpid()}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found.update(map(int, path.read_text().split()))
    return {pid for pid in found if b"daemon.storage.worker" in _command(pid)}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def count_until(children_run: int, folder: int, workers: Workers, names: list[str]) -> list[census.Census]:
    """Count again and again: on a fast machine one child is through before the next has started."""
    end = time.monotonic() + 30
    while True:
        taken = workers.count(folder, names)
        if len(children()) >= children_run:
            return taken
        assert time.monotonic() < end, f"there are {len(children())} children, not {children_run}"


@pytest.mark.parametrize("make", [wide, flat])
def test_counts_are_exact_and_nothing_is_left(tmp_path: Path, folder: int, workers: Workers, make: object) -> None:
    path = make(tmp_path / "tree")  # type: ignore[operator]
    counts = count(path)
    count_until(2, folder, workers, ["tree"])
    (taken,) = workers.count(folder, ["tree"])
    assert tuple(taken.to_json().values()) == counts
    progress = Progress(taken.files, taken.size_bytes)
    workers.remove(folder, ["tree"], progress)
    assert not path.exists()
    assert (progress.files_done, progress.remaining_s) == (taken.files, 0.0)
    assert len(children()) <= 2 * MOST


def test_hard_links_count_once_when_their_last_link_goes(tmp_path: Path, folder: int, workers: Workers) -> None:
    path = wide(tmp_path / "tree")
    os.link(path / "part-000" / "deep" / "file-1", tmp_path / "outside")
    alone = census.take(folder, "tree")
    assert workers.count(folder, ["tree"]) == [alone]
    assert tuple(alone.to_json().values()) == count(path)
    workers.remove(folder, ["tree"], Progress(alone.files, 0))
    assert (tmp_path / "outside").exists()


def test_many_directories_go_together(tmp_path: Path, folder: int, workers: Workers) -> None:
    names = [f"task_{number}" for number in range(90)]
    for name in names:
        wide(tmp_path / name, directories=3, files=5)
    taken = workers.count(folder, names)
    assert [tuple(one.to_json().values()) for one in taken] == [count(tmp_path / name) for name in names]
    workers.remove(folder, [*names, "absent"], Progress(sum(one.files for one in taken), 0))
    assert os.listdir(tmp_path) == []


@pytest.mark.exhaustive
def test_a_chain_deeper_than_any_path_goes(tmp_path: Path, folder: int, workers: Workers) -> None:
    chain(tmp_path / "tree", 3000, branches=True)
    (taken,) = workers.count(folder, ["tree"])
    assert taken == census.take(folder, "tree")
    workers.remove(folder, ["tree"], Progress(taken.files, 0))
    assert os.listdir(tmp_path) == []


def test_without_threads_to_be_had_the_caller_does_it_and_later_the_children_do(
    tmp_path: Path, folder: int, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count(wide(tmp_path / "tree"))

    def exhausted(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", exhausted)
        for _ in range(2):
            assert tuple(workers.count(folder, ["tree"])[0].to_json().values()) == counts
        assert children() == set()
    assert tuple(workers.count(folder, ["tree"])[0].to_json().values()) == counts
    assert len(children()) >= 2


@pytest.mark.parametrize("doing", ["count", "remove"])
def test_a_child_that_is_killed_loses_nothing(tmp_path: Path, folder: int, workers: Workers, doing: str) -> None:
    path = wide(tmp_path / "tree", directories=150)
    counts = count(path)
    workers.count(folder, ["tree"])
    stop = threading.Event()

    def kill() -> None:
        while not stop.is_set():
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        if doing == "count":
            assert tuple(workers.count(folder, ["tree"])[0].to_json().values()) == counts
        workers.remove(folder, ["tree"], Progress(counts[0], 0))
    finally:
        stop.set()
        killer.join()
    assert os.listdir(tmp_path) == []


def test_several_threads_share_the_children(tmp_path: Path, folder: int, workers: Workers) -> None:
    names = [f"tree-{number}" for number in range(4)]
    counts = [count(wide(tmp_path / name)) for name in names]

    def one(name: str) -> tuple[int, ...]:
        (taken,) = workers.count(folder, [name])
        workers.remove(folder, [name], Progress(taken.files, 0))
        return tuple(taken.to_json().values())

    count_until(2, folder, workers, names)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, names)) == counts
    assert os.listdir(tmp_path) == []
    assert len(children()) <= 2 * MOST


def test_what_cannot_go_is_named_and_everything_else_goes(tmp_path: Path, folder: int, workers: Workers) -> None:
    path = wide(tmp_path / "tree")
    stuck = path / "part-030" / "deep" / "file-7"
    if subprocess.run(["chattr", "+i", str(stuck)], capture_output=True, check=False).returncode != 0:
        shutil.rmtree(path)
        pytest.skip("this user or this file system has no immutable files")
    try:
        with pytest.raises(PermissionError) as caught:
            workers.remove(folder, ["tree"], Progress(5000, 0))
        assert caught.value.filename == "tree/part-030/deep/file-7"
        assert [found for found in path.rglob("*") if not found.is_dir()] == [stuck]
    finally:
        subprocess.run(["chattr", "-i", str(stuck)], check=True)
    workers.remove(folder, ["tree"])
    assert os.listdir(tmp_path) == []


def test_names_that_are_no_text_go_too(tmp_path: Path, folder: int, workers: Workers) -> None:
    path = wide(tmp_path / "tree")
    for odd in (b"\xff\xfe", b"new\nline", b"'\"\\", b" "):
        os.makedirs(os.path.join(os.fsencode(path), odd, odd))
        with open(os.path.join(os.fsencode(path), odd, odd, odd), "wb"):
            pass
    (taken,) = workers.count(folder, ["tree"])
    assert tuple(taken.to_json().values()) == count(path)
    workers.remove(folder, ["tree"], Progress(taken.files, 0))
    assert os.listdir(tmp_path) == []


def test_the_children_end_with_the_pool_and_hold_nothing(tmp_path: Path, folder: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    workers = Workers(2, priority="normal")
    wide(tmp_path / "tree")
    workers.count(folder, ["tree"])
    held = [os.readlink(f"/proc/{pid}/fd/{fd}") for pid in children() for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not any(str(tmp_path) in path for path in held), "an idle child holds a directory"
    workers.close()
    assert children() == set()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_children_end_when_the_daemon_is_killed(tmp_path: Path) -> None:
    wide(tmp_path / "tree", directories=200)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from daemon.storage.workers import Workers\n"
        f"fd = os.open({str(tmp_path / 'tree')!r}, os.O_RDONLY)\n"
        "workers = Workers(2, priority='normal')\n"
        "while sum(len(one.read_text().split()) for one in Path('/proc/self/task').glob('*/children')) < 2:\n"
        "    workers.count(fd, sorted(os.listdir(fd)))\n"  # so many that the pool takes them
        "print('counted', flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        pids = children(process.pid)
        assert len(pids) == 2
        process.kill()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < end, "a child outlives the daemon"
        time.sleep(0.02)


def halting(stop: threading.Event) -> None:
    """Hold the children most of the time, as a disk does that answers late."""
    while not stop.is_set():
        for number, pause in ((signal.SIGSTOP, 0.03), (signal.SIGCONT, 0.005)):
            for pid in children():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(pause)


@pytest.mark.parametrize(("make", "rate"), [(wide, 2000), (flat, 8000)])
def test_one_tree_keeps_all_children_at_work(
    tmp_path: Path, folder: int, make: Callable[[Path], Path], rate: int
) -> None:
    """The rate lets them wait as a slow disk does, whatever else the machine is doing."""
    make(tmp_path / "tree")
    workers = Workers(5, priority="normal", max_files_per_second=rate)
    ended = threading.Event()
    seen: list[int] = []

    def see() -> None:
        while not ended.wait(0.01):
            seen.append(len(workers.at_work()))

    seer = threading.Thread(target=see)
    seer.start()
    try:
        workers.remove(folder, ["tree"], Progress(3000, 0))
    finally:
        ended.set()
        seer.join()
        workers.close()
    assert os.listdir(tmp_path) == []
    assert statistics.median(seen) >= 4  # all but a moment at either end


def test_children_that_mostly_wait_get_help_in_bounds(tmp_path: Path, folder: int) -> None:
    # Whatever else this machine is doing: its processors count as idle.
    workers = Workers(2, priority="normal", growth=Growth(2, idle=lambda: (2 * time.monotonic(),)))
    names = [wide(tmp_path / f"tree-{number}").name for number in range(3)]
    stop = threading.Event()
    holder = threading.Thread(target=halting, args=(stop,))
    holder.start()
    try:
        count_until(3, folder, workers, names)
        workers.remove(folder, names, Progress(7500, 0))
        grown = len(children())
    finally:
        stop.set()
        holder.join()
        workers.close()
    assert os.listdir(tmp_path) == []
    assert grown <= 2 * MOST


def test_children_that_compute_stay_as_few_as_they_are(workers: Workers) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no file system in memory")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        wide(Path(place) / "tree", directories=150)
        fd = os.open(place, os.O_RDONLY)
        try:
            for _ in range(10):
                (taken,) = workers.count(fd, ["tree"])
            workers.remove(fd, ["tree"], Progress(taken.files, 0))
        finally:
            os.close(fd)
        assert os.listdir(place) == []
    assert len(children()) == 2


def test_a_rate_does_not_count_as_waiting(tmp_path: Path, folder: int) -> None:
    wide(tmp_path / "tree")
    workers = Workers(2, priority="normal", max_files_per_second=1500)
    try:
        workers.remove(folder, ["tree"], Progress(2500, 0))
        assert len(children()) == 2
    finally:
        workers.close()


class Books:
    """The kernel's, written by a test: so many processors have nothing to do, by each bound that it knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bounds: int = 1) -> None:
        self._at = 0.0
        self._idle_s = [0.0] * bounds
        self.growth = Growth(2, idle=lambda: tuple(self._idle_s))
        monkeypatch.setattr("daemon.storage.growth.time.monotonic", lambda: self._at)
        self.growth.begin()

    def pass_by(self, seconds: float, *, running: float, idle: float | tuple[float, ...] = ()) -> int:
        """How many children are wanted after that."""
        self._at += seconds
        for number, processors in enumerate((idle,) if isinstance(idle, float) else idle):
            self._idle_s[number] += seconds * processors
        children = self.growth.wanted
        self.growth.add(seconds * children, seconds * running)
        return self.growth.wanted


def test_the_pool_grows_while_children_wait_and_processors_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(monkeypatch)
    assert books.pass_by(0.3, running=0.4, idle=2.0) == 4  # not forty: one window proves little
    assert books.pass_by(0.1, running=1.0, idle=0.7) == 4  # too short
    assert books.pass_by(0.3, running=1.0, idle=0.7) == 6
    assert books.pass_by(0.3, running=1.2, idle=0.2) == 6
    assert books.pass_by(0.3, running=1.2, idle=0.4) == 8
    assert books.pass_by(0.3, running=1.2, idle=2.0) == 2 * MOST


@pytest.mark.parametrize(("running", "idle"), [(0.6, 0.1), (2.0, 30.0)])
def test_the_pool_stays_small_where_no_processor_is_idle_or_as_many_run_as_may(
    monkeypatch: pytest.MonkeyPatch, running: float, idle: float
) -> None:
    books = Books(monkeypatch)
    assert {books.pass_by(0.3, running=running, idle=idle) for _ in range(20)} == {2}


def test_time_without_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(monkeypatch)
    books.pass_by(0.2, running=0.6, idle=0.1)
    books.growth.end()
    books.pass_by(100.0, running=0.0, idle=2.0)
    books.growth.begin()
    assert books.pass_by(0.3, running=0.6, idle=0.1) == 2


@pytest.mark.parametrize(("running", "idle"), [(0.6, 0.0), (2.6, 30.0)])
def test_the_pool_shrinks_where_there_were_too_many_for_a_while(
    monkeypatch: pytest.MonkeyPatch, running: float, idle: float
) -> None:
    books = Books(monkeypatch)
    while books.growth.wanted < 2 * MOST:
        books.pass_by(0.3, running=0.4, idle=2.0)
    for _ in range(10):  # for a moment, such as while directories are counted
        assert books.pass_by(1.0, running=running, idle=idle) == 2 * MOST
        assert books.pass_by(1.0, running=1.2, idle=0.2) == 2 * MOST
    for _ in range(20):
        books.pass_by(1.0, running=running, idle=idle)
    assert books.growth.wanted == 2
    books.growth.shrink()
    assert books.growth.wanted == 2


def test_where_the_kernel_does_not_say_the_pool_goes_by_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(monkeypatch, bounds=0)
    assert books.pass_by(0.3, running=2.0) == 2
    assert books.pass_by(0.3, running=0.4) == 4


def test_a_quota_that_is_used_up_is_no_reason_to_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Books(monkeypatch, bounds=2)
    assert {books.pass_by(0.3, running=0.4, idle=(30.0, 0.0)) for _ in range(5)} == {2}
    assert books.pass_by(0.3, running=0.4, idle=(30.0, 1.0)) > 2


def test_a_group_of_small_directories_is_spread_and_a_small_directory_is_not(tmp_path: Path, folder: int) -> None:
    workers = Workers(4, priority="normal")
    names = [wide(tmp_path / f"task_{number:02}", directories=3, files=3).name for number in range(65)]
    try:
        workers.remove(folder, names[:1], Progress(14, 0))
        assert children() == set()
        workers.remove(folder, names[1:], Progress(64 * 14, 0))
        assert len(children()) >= 4
        assert os.listdir(tmp_path) == []
    finally:
        workers.close()


def test_a_rate_is_kept(tmp_path: Path, folder: int) -> None:
    wide(tmp_path / "tree", directories=4, files=40)
    workers = Workers(0, max_files_per_second=400)
    started = time.monotonic()
    workers.remove(folder, ["tree"])
    assert time.monotonic() - started > 0.9 * (4 * 42 - 1 - 4) / 400
    pace = Pace(1000)
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(pace.pause, [50] * 4))
    assert time.monotonic() - started > 0.19


def test_a_rate_holds_for_all_processes_together(tmp_path: Path, folder: int) -> None:
    wide(tmp_path / "tree")
    workers = Workers(2, priority="normal", max_files_per_second=2500)
    try:
        (taken,) = workers.count(folder, ["tree"])
        started = time.monotonic()
        workers.remove(folder, ["tree"], Progress(taken.files, 0))
        assert (time.monotonic() - started) / (taken.files / 2500) > 0.9
    finally:
        workers.close()


def test_closing_while_others_work_lets_everybody_go(tmp_path: Path, folder: int) -> None:
    workers = Workers(2, priority="normal")
    names = [wide(tmp_path / f"tree-{number}").name for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(workers.remove, folder, [name], Progress(2500, 0)) for name in names]
        time.sleep(0.15)
        workers.close()
        for future in asked:
            future.result(60)
    assert os.listdir(tmp_path) == []


def test_bytes_are_exact_where_files_are_large(tmp_path: Path, folder: int) -> None:
    (tmp_path / "tree").mkdir()
    for number, size in enumerate((1, 2, 5)):
        with open(tmp_path / "tree" / str(number), "wb") as file:
            file.truncate(size * 1_000_000)
    progress = Progress(3, 8_000_000)
    assert progress.measures
    assert progress.remaining_s is None
    Workers(0).remove(folder, ["tree"], progress)
    assert (progress.files_done, progress.bytes_done) == (3, 8_000_000)


def test_children_never_import_from_the_working_directory(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "daemon").mkdir(parents=True)
    (elsewhere / "daemon" / "__init__.py").write_text(f"open({str(tmp_path / 'planted')!r}, 'w')\n")
    wide(tmp_path / "tree")
    monkeypatch.chdir(elsewhere)
    workers = Workers(2, priority="normal")
    try:
        assert workers.count(folder, ["tree"]) == [census.take(folder, "tree")]
    finally:
        workers.close()
    assert not (tmp_path / "planted").exists()


def moved(path: Path) -> int:
    inside = (os.path.join(above, name) for above, below, files in os.walk(path) for name in (*below, *files))
    return max(os.lstat(one).st_mtime_ns for one in (str(path), *inside))


def test_measuring_says_of_each_tree_what_counting_does_and_why_not(tmp_path: Path, folder: int) -> None:
    names = [f"task_{number}" for number in range(40)]
    for name in names:
        wide(tmp_path / name, directories=3, files=5)
    wide(tmp_path / "large", directories=150)
    flat(tmp_path / "flat")
    (tmp_path / "link").symlink_to("large")
    for number, changed in enumerate((tmp_path / "task_3", tmp_path / "large" / "part-070", tmp_path / "flat")):
        os.utime(changed, (0, 2_000_000_000 + number))  # a directory itself may be what changed last
    names += ["large", "flat"]
    expected = {name: (count(tmp_path / name), moved(tmp_path / name)) for name in names}
    for processes in (0, 2):  # of the same trees
        workers = Workers(processes, priority="normal")
        try:
            found = workers.measure(folder, [*names, "absent", "link"])
        finally:
            workers.close()
        assert isinstance(found.pop("absent"), FileNotFoundError)
        assert isinstance(found.pop("link"), OSError)
        assert list(found) == names
        for name, one in found.items():
            assert isinstance(one, Measurement)
            assert (tuple(one.census.to_json().values()), one.modified_ns) == expected[name]


def test_what_a_killed_child_was_to_measure_is_measured(tmp_path: Path, folder: int, workers: Workers) -> None:
    names = [f"task_{number}" for number in range(300)]
    for name in names:
        wide(tmp_path / name, directories=2, files=20)
    workers.measure(folder, names[:1])
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.02):
            for pid in children():
                with suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = workers.measure(folder, names)
    finally:
        stop.set()
        killer.join()
    counts = [one.census.files for one in found.values() if isinstance(one, Measurement)]
    assert counts == [count(tmp_path / name)[0] for name in names]


@pytest.mark.parametrize("processes", [0, 2])
def test_scans_end_at_once(tmp_path: Path, folder: int, processes: int) -> None:
    for number in range(20):
        wide(tmp_path / f"task_{number}", directories=1, files=100)
    workers = Workers(processes, priority="normal", max_files_per_second=100)  # 20 seconds all in all
    ending = threading.Timer(1.0, workers.end_scans)
    ending.start()
    started = time.monotonic()
    try:
        with pytest.raises(ScanEnded):
            workers.measure(folder, [f"task_{number}" for number in range(20)])
        assert time.monotonic() - started < 8
    finally:
        ending.join()
        workers.close()


@pytest.mark.parametrize("processes", [0, 2])
def test_measuring_keeps_to_the_rate(tmp_path: Path, folder: int, processes: int) -> None:
    names = [f"task_{number}" for number in range(20)]
    for name in names:
        (tmp_path / name).mkdir()
        for index in range(50):
            (tmp_path / name / f"{index}").touch()
    workers = Workers(processes, priority="normal", max_files_per_second=1000)
    started = time.monotonic()
    workers.measure(folder, names)
    workers.close()
    assert time.monotonic() - started > 0.9
