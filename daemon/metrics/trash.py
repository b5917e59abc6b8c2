"""The trash and the journal: what waits, what is being worked on, and what recovery made of what was cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge

from daemon import clock
from daemon.metrics.live import LiveGauge, Sample

RESULTS: Final = ("leftover", "retained", "finished", "undone", "quarantined", "conflict", "blocked")


@dataclass(frozen=True, slots=True)
class TrashFacts:
    """What the journal says of the trash. Instants are aware; None if there is no such deletion.

    ``oldest``: when what waits longest was deleted; ``due``: when the purge was due that is overdue the longest, of
    what nobody holds; ``unfinished``: since when the oldest deletion is committed that is neither purged nor waits.
    """

    deletions: int
    size_bytes: int
    uncounted: int
    oldest: datetime | None
    due: datetime | None
    unfinished_deletions: int
    unfinished: datetime | None


def _age(at: datetime | None) -> float:
    return 0.0 if at is None else max(0.0, (clock.now() - at).total_seconds())


_Read: TypeAlias = Callable[[TrashFacts], float]
_LIVE: Final[tuple[tuple[str, str, _Read], ...]] = (
    (
        "trash_deletions",
        "Deletions that wait in the trash and can be restored.",
        lambda facts: facts.deletions,
    ),
    (
        "trash_bytes",
        "Allocated bytes of what waits in the trash, as far as counted.",
        lambda facts: facts.size_bytes,
    ),
    (
        "trash_uncounted_deletions",
        "Deletions that wait in the trash and have not been counted yet.",
        lambda facts: facts.uncounted,
    ),
    (
        "trash_oldest_age_seconds",
        "How long the oldest deletion in the trash has waited; 0 if none waits.",
        lambda facts: _age(facts.oldest),
    ),
    (
        "trash_overdue_seconds",
        "For how long a purge has been due, the one that is overdue the longest; 0 if none is.",
        lambda facts: _age(facts.due),
    ),
    (
        "journal_unfinished_deletions",
        "Deletions that are committed, do not wait in the trash, and are not purged yet.",
        lambda facts: facts.unfinished_deletions,
    ),
    (
        "journal_unfinished_age_seconds",
        "Time since the oldest of the unfinished deletions was committed; 0 if there is none.",
        lambda facts: _age(facts.unfinished),
    ),
)


class TrashMetrics:
    """Both folders: work in progress, and what is retained. Ages are by this machine's clock."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._facts: TrashFacts | None = None
        self._recovered = Counter(
            "sweepd_recovered_entries", "Trash entries settled by recovery, by result.", ["result"], registry=registry
        )
        for result in RESULTS:
            self._recovered.labels(result)
        self._blocked = Gauge(
            "sweepd_trash_blocked_entries", "Trash entries that could not be settled yet.", registry=registry
        )
        for name, text, read in _LIVE:
            LiveGauge(f"sweepd_{name}", text, partial(self._read, read), registry=registry)

    def recovered(self, result: str, count: int) -> None:
        """``count`` trash entries were settled with ``result``."""
        self._recovered.labels(result).inc(count)

    def blocked(self, count: int) -> None:
        """How many trash entries could not be settled yet."""
        self._blocked.set(count)

    def waiting(self, facts: TrashFacts) -> None:
        """How it is now."""
        self._facts = facts

    def _read(self, read: _Read) -> Iterable[Sample]:
        facts = self._facts
        return [] if facts is None else [((), read(facts))]
