"""Which purges are under way, and how far they are: for the log, the terminal and the API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from daemon import log
from daemon.storage.census import Census
from daemon.storage.progress import Progress

_log = log.get(__name__)
_FIRST_SIGN_S: Final = 5.0
_SIGN_EVERY_S: Final = 10.0
# Smaller purges end before anybody looks, and a thread to watch them would cost more than they do.
_MANY_FILES: Final = 1000
_MANY_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Watched:
    """One purge under way."""

    task_ids: tuple[str, ...]
    progress: Progress


class Purges:
    """All purges of this process. Thread-safe. ``on_progress`` is called from a thread of its own now and then."""

    def __init__(self, on_progress: Callable[[Watched], None] | None = None, every_s: float = _SIGN_EVERY_S) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Watched] = {}
        self._on_progress = on_progress or _to_log
        self._every_s = every_s

    @contextmanager
    def watch(self, task_ids: Sequence[str], counts: Iterable[Census]) -> Iterator[Progress]:
        """A progress to report to, seen by everybody else while the block runs."""
        counts = list(counts)
        progress = Progress(
            files_total=sum(census.files for census in counts), bytes_total=sum(census.size_bytes for census in counts)
        )
        watched = Watched(tuple(task_ids), progress)
        ended = threading.Event()
        teller = threading.Timer(min(_FIRST_SIGN_S, self._every_s), self._tell, (watched, ended))
        teller.daemon = True
        with self._lock:
            self._running[id(watched)] = watched
        if progress.files_total >= _MANY_FILES or progress.bytes_total >= _MANY_BYTES:
            teller.start()
        try:
            yield progress
        finally:
            ended.set()
            teller.cancel()
            with self._lock:
                del self._running[id(watched)]

    def running(self) -> list[Watched]:
        """The purges under way, in the order they began."""
        with self._lock:
            return list(self._running.values())

    def _tell(self, watched: Watched, ended: threading.Event) -> None:
        while not ended.is_set():
            self._on_progress(watched)
            ended.wait(self._every_s)


def _to_log(watched: Watched) -> None:
    progress = watched.progress
    _log.info(
        "purge_progress",
        task_ids=list(watched.task_ids[:10]),
        files=progress.files_done,
        files_total=progress.files_total,
        bytes=progress.bytes_done,
        bytes_total=progress.bytes_total,
        files_per_second=round(progress.files_per_second),
        remaining_seconds=None if progress.remaining_s is None else round(progress.remaining_s, 1),
    )
