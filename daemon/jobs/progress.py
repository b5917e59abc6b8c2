"""How far a job is: what was noted of its tasks, the purges under way, and what the inventory says of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon import clock
from daemon.catalog.inventory import Counted
from daemon.deletion.progress import Purges


@dataclass(frozen=True, slots=True)
class Progress:
    """Files and bytes of the totals are those counted so far; of tasks that wait, what the inventory knew of them."""

    tasks_total: int
    tasks_done: int
    deleted: int
    failed: int
    files_total: int
    files_done: int
    bytes_total: int
    bytes_done: int
    files_per_second: float
    remaining_seconds: float | None


@dataclass(slots=True)
class Meter:
    """Adds up what one run of a job does. Written by the thread that runs it, read by the event loop."""

    tasks_total: int
    tasks_done: int = 0
    deleted: int = 0
    failed: int = 0
    files: int = 0
    size_bytes: int = 0
    _expected: dict[str, Counted] = field(default_factory=dict)
    _files_expected: int = 0
    _bytes_expected: int = 0
    _started: float = field(default_factory=clock.monotonic)
    _tasks_before: int = 0
    _files_before: int = 0
    _files_seen: int = 0

    def start(self, expected: dict[str, Counted]) -> None:
        """From here on it is measured how fast it goes; ``expected`` is what the inventory knows of those that wait."""
        self._expected = expected
        self._files_expected = sum(counted.files for counted in expected.values())
        self._bytes_expected = sum(counted.size_bytes for counted in expected.values())
        self._started = clock.monotonic()
        self._tasks_before, self._files_before = self.tasks_done, self.files

    def forget(self, task_id: str) -> None:
        """The task does not wait any more."""
        counted = self._expected.pop(task_id, None)
        if counted is not None:
            self._files_expected -= counted.files
            self._bytes_expected -= counted.size_bytes

    def read(self, purges: Purges, at_work: Sequence[str]) -> Progress:
        """As of now; ``at_work`` are the tasks of the group in hand. Does not block."""
        working = set(at_work)
        purging = [watched.progress for watched in purges.running() if working.intersection(watched.task_ids)]
        now_counted = [c for c in map(self._expected.get, working if purging else ()) if c is not None]
        files_waiting = self._files_expected - sum(counted.files for counted in now_counted)
        bytes_waiting = self._bytes_expected - sum(counted.size_bytes for counted in now_counted)
        files_done = self.files + sum(progress.files_done for progress in purging)
        files_done = self._files_seen = max(files_done, self._files_seen)  # between a purge's end and its note
        files_total = self.files + sum(p.files_total for p in purging) + files_waiting
        bytes_done = self.size_bytes + sum(progress.bytes_done for progress in purging)
        bytes_total = self.size_bytes + sum(p.bytes_total for p in purging) + bytes_waiting
        known = len(self._expected) + (len(working) - len(now_counted) if purging else 0)
        seconds = max(1e-6, clock.monotonic() - self._started)
        rate = max(0, files_done - self._files_before) / seconds
        return Progress(
            tasks_total=self.tasks_total,
            tasks_done=self.tasks_done,
            deleted=self.deleted,
            failed=self.failed,
            files_total=max(files_total, files_done),
            files_done=files_done,
            bytes_total=max(bytes_total, bytes_done),
            bytes_done=bytes_done,
            files_per_second=rate,
            remaining_seconds=self._remaining(seconds, max(0, files_total - files_done), rate, known),
        )

    def _remaining(self, seconds: float, files_left: int, rate: float, known: int) -> float | None:
        """By files where those of most tasks are known, else by tasks; None as long as nothing is done."""
        left = self.tasks_total - self.tasks_done
        if left == 0:
            return 0.0
        if files_left and rate and known >= left / 2:
            return files_left / rate
        done = self.tasks_done - self._tasks_before
        return seconds / done * left if done > 0 else None
