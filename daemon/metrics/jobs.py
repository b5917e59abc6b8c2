"""Jobs, and what waits for its turn to delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from daemon.metrics.live import LiveGauge

# The words of web/ and catalog/, which are above; a test compares them.
UNFINISHED: Final = ("queued", "running")
ENDED: Final = ("finished", "cancelled")
LANES: Final = ("single", "batch", "job")


class JobMetrics:
    """Set on the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Gauge("sweepd_jobs", "Jobs that have not ended, by state.", ["state"], registry=registry)
        self._ended = Counter("sweepd_jobs_ended", "Jobs that ended, by state.", ["state"], registry=registry)
        self._waiting = Gauge(
            "sweepd_waiting_deletions", "Groups of deletions that wait for their turn.", ["lane"], registry=registry
        )
        self._listeners = Gauge("sweepd_event_listeners", "Clients that follow the events of a job.", registry=registry)
        for metric, values in ((self._jobs, UNFINISHED), (self._ended, ENDED), (self._waiting, LANES)):
            for value in values:
                metric.labels(value)
        self._stall: Callable[[], float] = float
        LiveGauge(
            "sweepd_jobs_stall_seconds",
            "Time since the running job that has waited longest for its next group of deletions had one; 0 if none.",
            lambda: [((), self._stall())],
            registry=registry,
        )

    def watch(self, stall: Callable[[], float]) -> None:
        """Who knows how long jobs stand still, in seconds; asked at every scrape."""
        self._stall = stall

    def unfinished(self, queued: int, running: int) -> None:
        """How many jobs have not ended."""
        self._jobs.labels("queued").set(queued)
        self._jobs.labels("running").set(running)

    def ended(self, state: str) -> None:
        """One job came to its end."""
        self._ended.labels(state).inc()

    def waiting(self, lane: str, number: int) -> None:
        """How many deletions wait for their turn."""
        self._waiting.labels(lane).set(number)

    def listeners(self, number: int) -> None:
        """How many clients follow events."""
        self._listeners.set(number)
