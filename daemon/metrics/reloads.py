"""Reloads of the configuration and the policies. The names are Prometheus' own for itself."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge


class ReloadMetrics:
    """The last one, and the last good one; the start counts as one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._successful = Gauge(
            "sweepd_config_last_reload_successful",
            "1 if the last reload took effect, 0 if it was refused and everything stayed as it was.",
            registry=registry,
        )
        self._at = Gauge(
            "sweepd_config_last_reload_success_timestamp_seconds",
            "When the configuration and policies in force were loaded.",
            registry=registry,
        )

    def succeeded(self, at: datetime) -> None:
        """What was loaded at that (aware) instant is in force."""
        self._successful.set(1)
        self._at.set(at.timestamp())

    def failed(self) -> None:
        """Everything stayed as it was."""
        self._successful.set(0)
