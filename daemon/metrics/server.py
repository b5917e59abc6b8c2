"""The HTTP server: requests and how they were answered, and whom it refused or gave up on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from daemon.metrics.buckets import LAG_SECONDS, REQUEST_SECONDS
from daemon.metrics.live import LiveGauge

# The words of web/, which is above; a test compares them.
REFUSALS: Final = ("UNAUTHORIZED", "TOKEN_EXPIRED", "INSUFFICIENT_SCOPE", "HOST_NOT_ALLOWED", "ORIGIN_NOT_ALLOWED")
CLOSED: Final = ("slow_head", "slow_reader", "too_many", "all_busy")
ELSEWHERE: Final = "none"
"""The operation of a request that is at no address there is."""


class ServerMetrics:
    """Used on the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "sweepd_http_requests",
            "HTTP requests answered, by operation and status.",
            ["operation", "status"],
            registry=registry,
        )
        self._duration = Histogram(
            "sweepd_http_request_duration_seconds",
            "Time from a request's head to its answer, without streams of events.",
            ["operation"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self._in_progress = Gauge(
            "sweepd_http_requests_in_progress", "HTTP requests that are being answered.", registry=registry
        )
        self._open: Callable[[], int] = int
        LiveGauge(
            "sweepd_http_connections", "Connections that are open.", lambda: [((), self._open())], registry=registry
        )
        self._refused = Counter(
            "sweepd_requests_refused",
            "HTTP requests refused at the door, by reason.",
            ["error_code"],
            registry=registry,
        )
        self._closed = Counter(
            "sweepd_connections_closed", "Connections closed on slow clients, by reason.", ["reason"], registry=registry
        )
        for metric, values in ((self._refused, REFUSALS), (self._closed, CLOSED)):
            for value in values:
                metric.labels(value)
        self._lag = Histogram(
            "sweepd_event_loop_lag_seconds",
            "How much later than asked the event loop woke a task up.",
            buckets=LAG_SECONDS,
            registry=registry,
        )

    def operations(self, names: Iterable[str]) -> None:
        """These are there to be asked for."""
        for name in (*names, ELSEWHERE):
            self._requests.labels(name, "200")
            self._duration.labels(name)

    def watch(self, connections: Callable[[], int]) -> None:
        """Who knows how many connections are open; asked at every scrape."""
        self._open = connections

    def began(self) -> None:
        """A request has come."""
        self._in_progress.inc()

    def answered(self, operation: str, status: int, seconds: float | None) -> None:
        """It is answered; ``seconds`` is None for a stream, which lasts as long as its reader wants."""
        self._in_progress.dec()
        self._requests.labels(operation, str(status)).inc()
        if seconds is not None:
            self._duration.labels(operation).observe(seconds)

    def refused(self, error_code: str) -> None:
        """An HTTP request got no further than the guard."""
        self._refused.labels(error_code).inc()

    def connection_closed(self, reason: str) -> None:
        """A connection was closed because its client was too slow, or there were too many."""
        self._closed.labels(reason).inc()

    def lagged(self, seconds: float) -> None:
        """The event loop woke a task up so much too late."""
        self._lag.observe(seconds)
