"""Deletions and restores: how many, how they ended, how long they took, and what they gave back."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from daemon.metrics.buckets import DELETION_SECONDS

# The words of deletion/, which is above; a test compares them.
TRIGGERS: Final = ("api", "sweep", "cli")
OUTCOMES: Final = ("success", "refused", "failed")


class DeletionMetrics:
    """Of every trigger: the API, the sweeps, and recovery of either."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "sweepd_deletions",
            "Deletions asked for, by trigger and outcome.",
            ["trigger", "outcome"],
            registry=registry,
        )
        self._files = Counter("sweepd_deleted_files", "Files removed for good.", ["trigger"], registry=registry)
        self._bytes = Counter(
            "sweepd_freed_bytes", "Allocated bytes given back to the file system.", ["trigger"], registry=registry
        )
        self._duration = Histogram(
            "sweepd_deletion_duration_seconds",
            "Time from the request to the last unlink of one deletion.",
            ["trigger"],
            buckets=DELETION_SECONDS,
            registry=registry,
        )
        self._restores = Counter("sweepd_restores", "Restores asked for, by outcome.", ["outcome"], registry=registry)

        for trigger in TRIGGERS:
            for outcome in OUTCOMES:
                self._ended.labels(trigger, outcome)
            for metric in (self._files, self._bytes, self._duration):
                metric.labels(trigger)
        for outcome in OUTCOMES:
            self._restores.labels(outcome)

    def ended(self, trigger: str, outcome: str, seconds: float) -> None:
        """One deletion came to its end; ``seconds`` it took."""
        self._ended.labels(trigger, outcome).inc()
        self._duration.labels(trigger).observe(seconds)

    def purged(self, trigger: str, files: int, freed_bytes: int) -> None:
        """A directory is gone for good; called once per deletion, whoever finished it."""
        self._files.labels(trigger).inc(files)
        self._bytes.labels(trigger).inc(freed_bytes)

    def restored(self, outcome: str) -> None:
        """One restore came to its end."""
        self._restores.labels(outcome).inc()
