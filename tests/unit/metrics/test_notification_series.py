"""The series of a webhook end with it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from daemon.metrics.notifications import NotificationMetrics


def test_a_message_that_was_under_way_makes_no_series_of_a_webhook_that_has_gone() -> None:
    registry = CollectorRegistry()
    metrics = NotificationMetrics(registry)
    metrics.known("ops")
    metrics.sent("ops")
    assert b'sweepd_notifications_sent_total{webhook="ops"} 1.0' in generate_latest(registry)
    metrics.forget("ops")
    metrics.sent("ops")
    metrics.failed("ops")
    metrics.dropped("ops")
    metrics.waiting("ops", 1, 1.0)
    assert b"ops" not in generate_latest(registry)
