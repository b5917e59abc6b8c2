"""The trash: what waits in it, and what recovery made of it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class TrashMetrics:
    """Both folders: work in progress, and what is retained."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._recovered = Counter(
            "sweepd_recovered_entries", "Trash entries settled by recovery, by result.", ["result"], registry=registry
        )
        self._blocked = Gauge(
            "sweepd_trash_blocked_entries", "Trash entries that could not be settled yet.", registry=registry
        )
        self._deletions = Gauge(
            "sweepd_trash_deletions", "Deletions that wait in the trash and can be restored.", registry=registry
        )
        self._bytes = Gauge(
            "sweepd_trash_bytes", "Allocated bytes of what waits in the trash, as far as counted.", registry=registry
        )

    def recovered(self, result: str, count: int) -> None:
        """``count`` trash entries were settled with ``result``."""
        self._recovered.labels(result).inc(count)

    def blocked(self, count: int) -> None:
        """How many trash entries could not be settled yet."""
        self._blocked.set(count)

    def waiting(self, deletions: int, size_bytes: int) -> None:
        """How much waits in the trash."""
        self._deletions.set(deletions)
        self._bytes.set(size_bytes)
