"""What the last complete scan found in the storage root."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from daemon import clock
from daemon.metrics.buckets import SCAN_SECONDS
from daemon.metrics.live import LiveGauge, Sample

OUTCOMES: Final = ("complete", "stopped", "failed")


class InventoryMetrics:
    """Remembered over restarts, as the catalog has it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._at: datetime | None = None
        self._scanned_at = Gauge(
            "sweepd_inventory_scan_timestamp_seconds",
            "When the last complete scan ended; 0 if never.",
            registry=registry,
        )
        LiveGauge(
            "sweepd_inventory_age_seconds", "Time since the last complete scan ended.", self._age, registry=registry
        )
        self._period = Gauge(
            "sweepd_inventory_period_seconds",
            "Time between two scans, as configured; 0 if there are none.",
            registry=registry,
        )
        self._directories = Gauge(
            "sweepd_inventory_directories", "Task directories that the last complete scan met.", registry=registry
        )
        self._bytes = Gauge(
            "sweepd_inventory_bytes", "Allocated bytes of all task directories, as far as counted.", registry=registry
        )
        self._orphans = Gauge(
            "sweepd_inventory_orphans", "Directories without a row, by the last complete scan.", registry=registry
        )
        self._missing = Gauge(
            "sweepd_inventory_missing", "Rows without their directory, by the last complete scan.", registry=registry
        )
        self._scans = Counter("sweepd_scans", "Scans of the storage root, by outcome.", ["outcome"], registry=registry)
        for outcome in OUTCOMES:
            self._scans.labels(outcome)
        self._duration = Histogram(
            "sweepd_scan_duration_seconds", "Time of one complete scan.", buckets=SCAN_SECONDS, registry=registry
        )

    def every(self, seconds: float) -> None:
        """How often the root is scanned; 0: never."""
        self._period.set(seconds)

    def found(self, at: datetime, directories: int, size_bytes: int, *, orphans: int, missing: int) -> None:
        """What the last complete scan found, and when it ended."""
        self._at = at
        self._scanned_at.set(at.timestamp())
        self._directories.set(directories)
        self._bytes.set(size_bytes)
        self._orphans.set(orphans)
        self._missing.set(missing)

    def ended(self, outcome: str, seconds: float) -> None:
        """One scan came to its end."""
        self._scans.labels(outcome).inc()
        if outcome == "complete":
            self._duration.observe(seconds)

    def _age(self) -> Iterable[Sample]:
        at = self._at
        return [] if at is None else [((), max(0.0, (clock.now() - at).total_seconds()))]
