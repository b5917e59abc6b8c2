"""The file system that the storage root lies on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from daemon.metrics.live import LiveGauge


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """Bytes and inodes. ``free_bytes``: with what is set aside for root; ``available_bytes``: without it."""

    size_bytes: int
    free_bytes: int
    available_bytes: int
    inodes: int
    free_inodes: int


_LIVE = (
    ("size_bytes", "Size of the storage root's file system."),
    ("free_bytes", "Free bytes of the storage root's file system, with what is set aside for root."),
    ("available_bytes", "Bytes of the storage root's file system that its writers can still take."),
    ("inodes", "Inodes of the storage root's file system; 0 if it makes them as needed."),
    ("free_inodes", "Free inodes of the storage root's file system."),
)


class SpaceMetrics:
    """As a thread has seen it a moment ago; nothing while the root is not there."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._facts: SpaceFacts | None = None
        for name, text in _LIVE:
            LiveGauge(f"sweepd_filesystem_{name}", text, partial(self._read, name), registry=registry)
        self._min_free = 0
        LiveGauge(
            "sweepd_filesystem_min_free_bytes",
            "With fewer bytes available, what waits in the trash goes before its time.",
            lambda: [] if self._facts is None else [((), self._min_free)],
            registry=registry,
        )

    def seen(self, facts: SpaceFacts | None, min_free: int = 0) -> None:
        """How full it is; None: the root is not there."""
        self._facts, self._min_free = facts, min_free

    def _read(self, name: str) -> list[tuple[tuple[()], float]]:
        facts = self._facts
        return [] if facts is None else [((), getattr(facts, name))]
