"""What the last complete scan found in the storage root."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge


class InventoryMetrics:
    """Remembered over restarts, as the catalog has it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._scanned_at = Gauge(
            "sweepd_inventory_scan_timestamp_seconds", "When the last complete scan ended.", registry=registry
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

    def scanned(self, at: datetime, directories: int, size_bytes: int, *, orphans: int, missing: int) -> None:
        """What the last complete scan found, and when it ended."""
        self._scanned_at.set(at.timestamp())
        self._directories.set(directories)
        self._bytes.set(size_bytes)
        self._orphans.set(orphans)
        self._missing.set(missing)
