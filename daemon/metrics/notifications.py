"""What webhooks are told."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, Counter, Gauge


class NotificationMetrics:
    """One series per configured webhook."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._names: set[str] = set()  # a message that was under way may be told after its webhook has gone
        self._lock = threading.Lock()
        self._sent = Counter(
            "sweepd_notifications_sent", "Messages that were taken, by webhook.", ["webhook"], registry=registry
        )
        self._failed = Counter(
            "sweepd_notifications_failed",
            "Tries to send a message that failed, by webhook.",
            ["webhook"],
            registry=registry,
        )
        self._dropped = Counter(
            "sweepd_notifications_dropped",
            "Messages that were given up, or had to make room, by webhook.",
            ["webhook"],
            registry=registry,
        )
        self._queued = Gauge(
            "sweepd_notifications_queued", "Messages that wait to be sent, by webhook.", ["webhook"], registry=registry
        )
        self._oldest = Gauge(
            "sweepd_notifications_oldest_age_seconds",
            "Since when the first of them waits; 0 if none does.",
            ["webhook"],
            registry=registry,
        )

    def known(self, webhook: str) -> None:
        """There is this webhook: its counters begin."""
        with self._lock:
            self._names.add(webhook)
            for counter in (self._sent, self._failed, self._dropped):
                counter.labels(webhook)
        self.waiting(webhook, 0, 0.0)

    def forget(self, webhook: str) -> None:
        """There is no such webhook any more."""
        with self._lock:
            self._names.discard(webhook)
            for metric in (self._sent, self._failed, self._dropped, self._queued, self._oldest):
                metric.remove_by_labels({"webhook": webhook})

    def sent(self, webhook: str) -> None:
        """One message was taken."""
        self._count(self._sent, webhook)

    def failed(self, webhook: str) -> None:
        """One try failed."""
        self._count(self._failed, webhook)

    def dropped(self, webhook: str, number: int = 1) -> None:
        """So many messages will never be sent."""
        self._count(self._dropped, webhook, number)

    def waiting(self, webhook: str, number: int, oldest_age_s: float) -> None:
        """What waits now."""
        with self._lock:
            if webhook in self._names:
                self._queued.labels(webhook).set(number)
                self._oldest.labels(webhook).set(max(0.0, oldest_age_s))

    def _count(self, counter: Counter, webhook: str, number: int = 1) -> None:
        with self._lock:
            if webhook in self._names:
                counter.labels(webhook).inc(number)
