"""Whether the daemon does its work, and what keeps it from it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class HealthMetrics:
    """The daemon as a whole."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ready = Gauge("sweepd_ready", "1 if the daemon does its work, 0 if not.", registry=registry)
        self._rolled_back = Gauge(
            "sweepd_catalog_rolled_back",
            "1 if the database has forgotten what the storage root has seen, and nothing is deleted; else 0.",
            registry=registry,
        )
        self._log_lines_dropped = Counter(
            "sweepd_log_lines_dropped", "Log lines that could not be written: nobody read them.", registry=registry
        )
        self._holds = Gauge("sweepd_holds", "Holds in force.", registry=registry)

    def ready(self, ready: bool) -> None:
        """Whether the daemon does its work."""
        self._ready.set(1 if ready else 0)

    def rolled_back(self, rolled_back: bool) -> None:
        """Whether the database has forgotten what the storage root has seen."""
        self._rolled_back.set(1 if rolled_back else 0)

    def log_line_dropped(self) -> None:
        """A log line is lost."""
        self._log_lines_dropped.inc()

    def holds(self, number: int) -> None:
        """How many holds are in force."""
        self._holds.set(number)
