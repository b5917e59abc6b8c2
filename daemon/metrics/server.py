"""The HTTP server: what it refused, and whom it gave up on."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class ServerMetrics:
    """What happens before a request reaches the API."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "sweepd_requests_refused",
            "HTTP requests refused at the door, by reason.",
            ["error_code"],
            registry=registry,
        )
        self._closed = Counter(
            "sweepd_connections_closed", "Connections closed on slow clients, by reason.", ["reason"], registry=registry
        )

    def refused(self, error_code: str) -> None:
        """An HTTP request got no further than the guard."""
        self._refused.labels(error_code).inc()

    def connection_closed(self, reason: str) -> None:
        """A connection was closed because its client was too slow, or there were too many."""
        self._closed.labels(reason).inc()
