"""Counts and removes large trees with a few child processes, small ones in the calling thread.

Unlinking is the kernel's time: threads would fight for the interpreter, processes do not, and keep a slow file system
and its memory away from the daemon. Where it is the disk that takes the time, more children wait for it at once.
The children only speed things up: what they leave, because one died or because directories were shared out, the
calling thread removes itself, and a count that lost one is taken again.
"""

from __future__ import annotations

import mmap
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal

from daemon import log
from daemon.storage import census
from daemon.storage.census import Census, Measurement, ScanEnded
from daemon.storage.child import Child
from daemon.storage.growth import Growth
from daemon.storage.job import Job, Unit
from daemon.storage.pacing import Pace
from daemon.storage.parent import SCANS_END
from daemon.storage.progress import Progress
from daemon.storage.removal import Remover, remove_tree
from daemon.storage.syscalls import DIRECTORY

_log = log.get(__name__)
# Trees of fewer entries are done before a child has been told of them.
_SMALL: Final = 1000
# Once they run, so many are enough to have them removed by the children. Groups seldom come alone: they start them.
_SMALL_WHEN_WARM: Final = 300
# So many trees, whose size is unknown, are counted by the children.
_COUNTED: Final = 64
_COUNTED_WHEN_WARM: Final = 16
# Names sent at once at most: they have to fit into a message.
_BUNDLE: Final = 64
# The same for measuring: the last ones are not to keep the others waiting.
_MEASURED_AT_ONCE: Final = 16
_IDLE_S: Final = 60.0


class Workers:
    """A pool of child processes, started when they are first needed. Thread-safe; fewer than 2 processes are none.

    ``processes`` are to be busy at a time; while they wait and processors have nothing to do, there are more.
    """

    def __init__(
        self,
        processes: int = 2,
        *,
        priority: Literal["idle", "normal"] = "idle",
        max_files_per_second: int | None = None,
        growth: Growth | None = None,
    ) -> None:
        self._processes = processes
        self._priority = priority
        self._rate = max_files_per_second
        self._pace = Pace(self._rate)
        self._growth = growth or Growth(processes)
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._at_work: set[Child] = set()
        self._waiting = 0
        self._closed = False
        self._idle: mmap.mmap | None = None
        self._idle_fd = -1
        self._scans_ended = False

    def count(self, parent_fd: int, names: Sequence[str]) -> list[Census]:
        """The exact counts of the trees ``names`` inside ``parent_fd``.

        Raises OSError with the path below ``parent_fd``: EXDEV names a mount.
        """
        found: dict[str, Measurement | OSError | None] = {}
        if self._processes > 1 and len(names) >= (_COUNTED_WHEN_WARM if self._threads else _COUNTED):
            size = min(_BUNDLE, max(1, len(names) // (4 * self._growth.wanted)))
            bundles = [names[start : start + size] for start in range(0, len(names), size)]
            self._spread(Job(parent_fd, counting=True, progress=None, each=found), bundles)
        counts = []
        for name in names:
            one = found.get(name)
            # What they could not count is counted here, or the reason named.
            counts.append(one.census if isinstance(one, Measurement) else self._count(parent_fd, name))
        return counts

    def measure(self, parent_fd: int, names: Sequence[str]) -> dict[str, Measurement | OSError]:
        """Counts and newest mtime of each of these trees, or why it has none: ENOENT, EXDEV for a mount inside.

        Keeps to ``max_files_per_second``. Raises ScanEnded after ``end_scans``.
        """
        found: dict[str, Measurement | OSError | None] = {}
        if self._processes > 1 and not self._scans_ended:
            bundles = [names[start : start + _MEASURED_AT_ONCE] for start in range(0, len(names), _MEASURED_AT_ONCE)]
            self._spread(Job(parent_fd, counting=True, progress=None, scanning=True, each=found), bundles)
        return {name: found.get(name) or self._measure(parent_fd, name, large=name in found) for name in names}

    def end_scans(self) -> None:
        """End what ``measure`` is at, and begin none any more."""
        self._scans_ended = True
        with self._lock:
            if self._idle is not None:
                self._idle[SCANS_END] = 1

    def remove(
        self,
        parent_fd: int,
        names: Sequence[str],
        progress: Progress | None = None,
        *,
        last: Callable[[], None] | None = None,
    ) -> None:
        """Remove the trees ``names`` inside ``parent_fd``; absent ones are fine.

        ``.`` is ``parent_fd`` itself: its content is removed, and ``last`` removes the directory from above.

        Raises OSError with the first path that could not be removed; everything else is gone then.
        """
        files = progress.files_total if progress is not None else _SMALL
        worthwhile = _SMALL_WHEN_WARM if self._threads or len(names) > 1 else _SMALL
        if self._processes > 1 and files >= worthwhile:
            size = min(_BUNDLE, max(1, len(names) // (16 * self._growth.wanted)))
            bundles = [names[start : start + size] for start in range(0, len(names), size)]
            self._spread(Job(parent_fd, counting=False, progress=progress), bundles)
        first: OSError | None = None
        measure = progress is not None and progress.measures
        removed = None if progress is None else progress.add
        remover = Remover(parent_fd, pace=self._pace, measure=measure, removed=removed, last=last)
        for name in names:
            try:
                remove_tree(parent_fd, name, remover)
            except OSError as error:
                first = first or error
        if first is not None:
            raise first

    def at_work(self) -> list[Child]:
        """The children that have something to do at this moment."""
        with self._lock:
            return list(self._at_work)

    def close(self) -> None:
        """End the children. What runs on them is finished by its callers."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join()
        with self._lock:
            self._pace = Pace(self._rate)
            if self._idle is not None:
                self._idle.close()  # it holds a descriptor of its own
                self._idle = None
                os.close(self._idle_fd)
                self._idle_fd = -1

    def _count(self, parent_fd: int, name: str) -> Census:
        if self._processes < 2:
            return census.take(parent_fd, name)
        small = census.take_small(parent_fd, name, _SMALL)
        if small is not None:
            return small
        job = Job(parent_fd, counting=True, progress=None)
        self._spread(job, [[name]])
        # What one of them could not count the calling thread counts, or names the reason.
        return census.take(parent_fd, name) if job.lost or job.error is not None else job.total.census()

    def _measure(self, parent_fd: int, name: str, *, large: bool) -> Measurement | OSError:
        """One tree: shared out if it is ``large``, else, or if that fails, in this thread."""
        job = Job(parent_fd, counting=True, progress=None, scanning=True)
        if large and not self._scans_ended:
            self._spread(job, [[name]])
        if self._scans_ended:
            raise ScanEnded
        if large and not job.lost and job.error is None:
            return job.total.measurement()
        try:
            return census.measure(parent_fd, name, self._go_on)
        except OSError as error:
            return error

    def _go_on(self, files: int) -> None:
        if self._scans_ended:
            raise ScanEnded
        self._pace.pause(files)

    def _spread(self, job: Job, bundles: Sequence[Sequence[str]]) -> None:
        """Have the children do it; returns when they are through with what they did of it."""
        with self._lock:
            if self._closed:
                job.lost = True
                return
            if self._idle is None:
                self._share_page()
            self._grow()
            if not self._threads:
                job.lost = True
                return
            # A descriptor without the caller's lock: a child outlives a killed daemon by a moment.
            job.base_fd = os.open(".", DIRECTORY, dir_fd=job.base_fd)
            job.open = len(bundles)
            for names in bundles:  # under the lock: ``close`` puts its word behind them
                self._queue.put(Unit(job, (), names))
        try:
            job.done.wait()
        finally:
            os.close(job.base_fd)

    def _share_page(self) -> None:
        self._idle_fd = os.memfd_create("sweepd-idle", os.MFD_CLOEXEC)
        os.ftruncate(self._idle_fd, mmap.PAGESIZE)
        self._idle = mmap.mmap(self._idle_fd, mmap.PAGESIZE)
        self._pace = Pace(self._rate, (self._idle, self._idle_fd))

    def _grow(self) -> None:
        """Start what is missing. A new one says that it is idle, and the others share out to it."""
        while len(self._threads) < self._growth.wanted:
            thread = threading.Thread(target=self._serve, name=f"remover-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more: those there are do it, or the caller
                _log.warning("worker_lost", reason=str(error))
                return
            self._threads.append(thread)

    def _serve(self) -> None:
        """One child's life: unit after unit."""
        child: Child | None = None
        try:
            while True:
                unit = self._next()
                if unit is None:
                    return
                try:
                    if child is None:
                        child = Child(self._idle_fd, self._priority, self._rate)
                    with self._working(child):
                        self._do(child, unit)
                except Exception as error:  # whatever it is, the caller has to be let go
                    _log.warning("worker_lost", reason=str(error))
                    if child is not None:
                        child.kill()
                        child = None
                    unit.job.lose()
                finally:
                    unit.job.ended()
        finally:
            if child is not None:
                child.end()

    @contextmanager
    def _working(self, child: Child) -> Iterator[None]:
        with self._lock:
            if not self._at_work:
                self._growth.begin()
            self._at_work.add(child)
        try:
            yield
        finally:
            with self._lock:
                self._at_work.discard(child)
                if not self._at_work:
                    self._growth.end()

    def _drain(self) -> None:
        """Let go the callers whose units nobody will serve any more: they do them themselves."""
        while True:
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                return
            if unit is None:  # another thread's word to end
                self._queue.put(None)
                return
            unit.job.lose()
            unit.job.ended()

    def _next(self) -> Unit | None:
        """None: this thread is to end, since the pool is closed or too large, or there was nothing to do for long."""
        try:
            unit = None if self._leaves(idle=False) else self._await()
        except queue.Empty:
            return None
        if unit is None and self._closed:
            self._drain()
        return unit

    def _await(self) -> Unit | None:
        """The next unit; None once the pool is closed. Raises queue.Empty when nobody needs this thread any more."""
        while True:
            with suppress(queue.Empty):
                return self._queue.get_nowait()
            assert self._idle is not None
            with self._lock:
                self._waiting += 1
                self._idle[0] = self._waiting
            try:
                return self._queue.get(timeout=_IDLE_S)
            except queue.Empty:
                pass
            finally:
                with self._lock:
                    self._waiting -= 1
                    self._idle[0] = self._waiting
            if self._leaves(idle=True):
                raise queue.Empty

    def _leaves(self, *, idle: bool) -> bool:
        """Whether this thread ends now: it was idle for long, or there are too many."""
        with self._lock:
            if self._closed or (idle and not self._queue.empty()):
                return False
            leaves = idle or len(self._threads) > self._growth.wanted
            if leaves:
                self._threads.remove(threading.current_thread())
            if idle:
                self._growth.shrink()
            return leaves

    def _do(self, child: Child, unit: Unit) -> None:
        job = unit.job
        child.ask(unit.question(), job.base_fd)
        while True:
            message = child.hear()
            if "names" in message:
                with job.lock:
                    job.open += 1
                self._queue.put(Unit(job, message["path"], message["names"], message["share"]))
            elif "links" in message:
                job.add_links(message["links"])
            else:
                self._see_sign(job, message)
                if "done" in message:
                    job.add(message)
                    return

    def _see_sign(self, job: Job, message: dict[str, Any]) -> None:
        if job.progress is not None:
            job.progress.add(message["files"], message["size"])
        self._growth.add(message["worked"], message["ran"])
        with self._lock:
            if not self._closed:
                self._grow()
