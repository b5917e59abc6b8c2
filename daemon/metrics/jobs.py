"""Jobs, and what waits for its turn to delete."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class JobMetrics:
    """Set on the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Gauge("sweepd_jobs", "Jobs that have not ended, by state.", ["state"], registry=registry)
        self._ended = Counter("sweepd_jobs_ended", "Jobs that ended, by state.", ["state"], registry=registry)
        self._waiting = Gauge(
            "sweepd_waiting_deletions", "Groups of deletions that wait for their turn.", ["lane"], registry=registry
        )
        self._listeners = Gauge("sweepd_event_listeners", "Clients that follow the events of a job.", registry=registry)

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
