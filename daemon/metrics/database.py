"""The pool of connections to the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from daemon.metrics.live import LiveGauge, Sample


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """Connections. ``waiting``: threads that want one, those that a connection is being opened for included."""

    in_use: int
    idle: int
    most: int
    waiting: int


class DatabaseMetrics:
    """Asked of the pool at every scrape: it knows without asking the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pool: Callable[[], PoolFacts | None] = lambda: None
        LiveGauge(
            "sweepd_database_connections",
            "Connections to the database, by state.",
            self._connections,
            ["state"],
            registry=registry,
        )
        LiveGauge(
            "sweepd_database_connections_max",
            "How many connections to the database may be open.",
            lambda: self._one("most"),
            registry=registry,
        )
        LiveGauge(
            "sweepd_database_waiting",
            "Threads that wait for a connection to the database.",
            lambda: self._one("waiting"),
            registry=registry,
        )

    def watch(self, pool: Callable[[], PoolFacts | None]) -> None:
        """Who knows the pool; asked at every scrape, so it must not block."""
        self._pool = pool

    def _connections(self) -> Iterable[Sample]:
        pool = self._pool()
        return [] if pool is None else [(("in_use",), pool.in_use), (("idle",), pool.idle)]

    def _one(self, name: str) -> Iterable[Sample]:
        pool = self._pool()
        return [] if pool is None else [((), getattr(pool, name))]
