"""Policies and their sweeps."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from daemon.metrics.buckets import SECONDS


class PolicyMetrics:
    """One series per loaded policy."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sweeps = Counter(
            "sweepd_sweeps", "Sweeps, by policy and outcome.", ["policy", "outcome"], registry=registry
        )
        self._duration = Histogram(
            "sweepd_sweep_duration_seconds", "Time of one sweep.", ["policy"], buckets=SECONDS, registry=registry
        )
        self._selected = Gauge(
            "sweepd_policy_selected_tasks", "Tasks selected by the policy's last plan.", ["policy"], registry=registry
        )
        self._last_run = Gauge(
            "sweepd_policy_last_run_timestamp_seconds", "When the policy last ran.", ["policy"], registry=registry
        )
        self._last_success = Gauge(
            "sweepd_policy_last_success_timestamp_seconds",
            "When the policy last succeeded.",
            ["policy"],
            registry=registry,
        )
        self._blocked = Counter(
            "sweepd_sweeps_blocked",
            "Sweeps that a limit stopped or cut short, by limit.",
            ["policy", "limit"],
            registry=registry,
        )
        self._suspended = Gauge(
            "sweepd_policy_suspended", "1 if the policy has suspended itself, else 0.", ["policy"], registry=registry
        )
        self._quota = {
            name: Gauge(f"sweepd_quota_{name}", text, ["policy"], registry=registry)
            for name, text in (
                ("used", "What a quota policy's last sweep left in use, in bytes or inodes."),
                ("high", "Where a quota policy begins to delete, in bytes or inodes."),
                ("low", "Where a quota policy ends, in bytes or inodes."),
            )
        }

    def swept(
        self, policy: str, outcome: str, seconds: float, selected: int, ended: datetime, *, success: bool
    ) -> None:
        """One sweep came to its end."""
        self._sweeps.labels(policy, outcome).inc()
        self._duration.labels(policy).observe(seconds)
        self._selected.labels(policy).set(selected)
        self.remembered(policy, ended, ended if success else None)

    def refused(self, policy: str) -> None:
        """A sweep was refused before it began."""
        self._sweeps.labels(policy, "refused").inc()

    def blocked(self, policy: str, limit: str) -> None:
        """A sweep stopped at this limit."""
        self._blocked.labels(policy, limit).inc()

    def suspended(self, policy: str, suspended: bool) -> None:
        """Whether the policy has suspended itself."""
        self._suspended.labels(policy).set(1 if suspended else 0)

    def quota(self, policy: str, used: int, high: int, low: int) -> None:
        """How full it is, in bytes or inodes; of several users or databases, the fullest."""
        for name, value in (("used", used), ("high", high), ("low", low)):
            self._quota[name].labels(policy).set(value)

    def remembered(self, policy: str, last_run: datetime | None, last_success: datetime | None) -> None:
        """When the policy last ran and succeeded, as the catalog remembers it; None leaves a value as it is."""
        if last_run is not None:
            self._last_run.labels(policy).set(last_run.timestamp())
        if last_success is not None:
            self._last_success.labels(policy).set(last_success.timestamp())
