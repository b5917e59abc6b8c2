"""Whether the daemon's own parts are alive: what a restart would mend, and nothing else.

A lost database, a missing root or a hanging disk is waited for, and told at ``/readyz``: a restart would only lose the
work in hand. Threads are judged by the kernel's books, since one that works for hours is told from one that waits for
ever neither by its age nor by anything it could write down itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon import clock
from daemon.storage.workers import Workers

THREAD_PATIENCE_S: Final = 300.0
"""So long may a thread wait for another one while nothing at all moves."""
WORKER_PATIENCE_S: Final = 60.0
"""So long may a child process with work in hand stand still."""
# Two looks further apart than this mean that the daemon itself stood still meanwhile: a stopped process, say.
_LONGEST_STEP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Lasting:
    """A thread that lasts as long as the daemon; ``turns``: it does something every few seconds, unless it works."""

    thread: threading.Thread
    turns: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """A thread or process as the kernel sees it. ``runs``: how often it was given, or gave up, a processor."""

    runs: int
    state: str
    wait: str

    @property
    def is_outside(self) -> bool:
        """It computes (R), or waits for the disk (D), which no signal cuts off."""
        return self.state in ("R", "D")

    @property
    def waits_for_a_thread(self) -> bool:
        return self.wait.startswith("futex")


class Vitals:
    """Looked at regularly, by one thread. ``threads`` gives those that have to live at this moment.

    Cheap: two small files of /proc, which is memory, for each of them.
    """

    def __init__(
        self,
        threads: Callable[[], Iterable[Lasting]],
        workers: Workers,
        *,
        thread_patience_s: float = THREAD_PATIENCE_S,
        worker_patience_s: float = WORKER_PATIENCE_S,
    ) -> None:
        self._threads = threads
        self._workers = workers
        self._thread_patience_s = thread_patience_s
        self._worker_patience_s = worker_patience_s
        self._looked_at = clock.monotonic()
        self._seen: dict[int, tuple[Standing, float]] = {}

    def look(self) -> list[str]:
        """What is wrong, empty if nothing is. A child process that stands still is ended: the daemon does its part."""
        now = clock.monotonic()
        step, self._looked_at = min(now - self._looked_at, _LONGEST_STEP_S), now
        seen: dict[int, tuple[Standing, float]] = {}
        moved = self._see_workers(seen, step)
        problems = []
        for lasting in self._threads():
            thread = lasting.thread
            if not thread.is_alive():
                problems.append(f"the thread {thread.name} has ended")
            elif lasting.turns and thread.native_id is not None:
                still = self._still(seen, thread.native_id, f"/proc/self/task/{thread.native_id}", step)
                waits = thread.native_id in seen and seen[thread.native_id][0].waits_for_a_thread
                if still > self._thread_patience_s and waits and not moved:
                    problems.append(f"the thread {thread.name} has waited for another one for {still:.0f} s")
        self._seen = seen
        return problems

    def _see_workers(self, seen: dict[int, tuple[Standing, float]], step: float) -> bool:
        """Whether one of them moves, which is what a thread may be waiting for."""
        moved = False
        for child in self._workers.at_work():
            still = self._still(seen, child.pid, f"/proc/{child.pid}", step)
            moved = moved or still <= self._worker_patience_s
            if still > self._worker_patience_s:
                child.strike()
        return moved

    def _still(self, seen: dict[int, tuple[Standing, float]], number: int, folder: str, step: float) -> float:
        """Seconds for which it has not moved; 0 if that cannot be told."""
        standing = standing_of(folder)
        if standing is None:
            return 0.0
        before, still = self._seen.get(number, (None, 0.0))
        same = before is not None and before.runs == standing.runs and not standing.is_outside
        seen[number] = standing, still + step if same else 0.0
        return seen[number][1]


def standing_of(folder: str) -> Standing | None:
    """Of a folder such as ``/proc/123`` or ``/proc/self/task/456``; None if it has gone, or cannot be read."""
    try:
        lines = Path(folder, "status").read_text(encoding="utf-8", errors="replace").splitlines()
        wait = Path(folder, "wchan").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    try:
        runs = int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
        return Standing(runs, fields["State"][0], wait)
    except (KeyError, ValueError, IndexError):
        return None
