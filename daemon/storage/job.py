"""One call to the pool of child processes: what is left of it, and what came of it so far."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from daemon.storage.census import Census, Counter, Measurement
from daemon.storage.progress import Progress


@dataclass(slots=True)
class Job:
    """One call, spread over the children. ``open`` counts the units that are not done. Thread-safe.

    ``scanning``: it counts for a scan. ``each``: what came of each tree, if they are counted one by one.
    """

    base_fd: int
    counting: bool
    progress: Progress | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: threading.Event = field(default_factory=threading.Event)
    open: int = 0
    total: Counter = field(default_factory=Counter)
    error: OSError | None = None
    lost: bool = False
    scanning: bool = False
    each: dict[str, Measurement | OSError | None] | None = None

    def add_links(self, links: Sequence[Sequence[int]]) -> None:
        """Links of files not all of whose links one child has seen."""
        with self.lock:
            for device, inode, seen, number, blocks in links:
                self.total.add_link((device, inode), seen, number, blocks)

    def add(self, message: dict[str, Any]) -> None:
        """The last message about a unit."""
        files, directories, size, blocks, modified_ns = message["done"]
        with self.lock:
            self.total.files += files
            self.total.directories += directories
            self.total.size_bytes += size
            self.total.blocks += blocks
            self.total.modified_ns = max(self.total.modified_ns, modified_ns)
            if self.each is not None:
                self.each.update((name, _measured(counts, error)) for name, counts, error in message["each"])
            if message["error"] is not None and self.error is None:
                self.error = OSError(*message["error"][:2], message["error"][2])

    def lose(self) -> None:
        """Some of it was not done, and nobody knows how much."""
        with self.lock:
            self.lost = True

    def ended(self) -> None:
        """One unit is through, however."""
        with self.lock:
            self.open -= 1
            if self.open == 0:
                self.done.set()


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a job for one child: trees, or a share of one."""

    job: Job
    path: Sequence[str]
    names: Sequence[str]
    share: Sequence[int] | None = None

    def question(self) -> dict[str, Any]:
        """What a child is told."""
        job = self.job
        return {
            "count": job.counting,
            "path": list(self.path),
            "names": list(self.names),
            "share": self.share,
            "scan": job.scanning,
            "each": job.each is not None,
            "measure": job.progress is not None and job.progress.measures,
        }


def _measured(counts: Sequence[int] | None, error: Sequence[Any] | None) -> Measurement | OSError | None:
    """What a child says of one of several trees; None if it is to be shared out."""
    if counts is not None:
        return Measurement(Census(*counts[:4]), counts[4])
    return None if error is None else OSError(*error)
