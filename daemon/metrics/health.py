"""Whether the daemon does its work, and what keeps it from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge

from daemon.metrics.live import LiveGauge, Sample


class HealthMetrics:
    """The daemon as a whole, and the parts it stands on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rolled_back = Gauge(
            "sweepd_catalog_rolled_back",
            "1 if the database has forgotten what the storage root has seen, and nothing is deleted; else 0.",
            registry=registry,
        )
        self._log_lines_dropped = Counter(
            "sweepd_log_lines_dropped", "Log lines that could not be written: nobody read them.", registry=registry
        )
        self._watchdog_problems = Gauge(
            "sweepd_watchdog_problems",
            "Parts of the daemon that its last look at itself found dead.",
            registry=registry,
        )
        self._audit_file: Callable[[], float | None] = lambda: None
        LiveGauge(
            "sweepd_audit_file_behind_seconds",
            "For how long the audit file has lacked entries of the journal; 0 if it has all.",
            lambda: [] if (behind := self._audit_file()) is None else [((), behind)],
            registry=registry,
        )
        self._problems: Callable[[], Mapping[str, str | None]] = dict
        LiveGauge("sweepd_ready", "1 if the daemon does its work, 0 if not.", self._ready, registry=registry)
        LiveGauge(
            "sweepd_component_ready",
            "1 if this part of the daemon is fine, 0 if not.",
            lambda: [((name,), float(problem is None)) for name, problem in self._problems().items()],
            ["component"],
            registry=registry,
        )
        self._root = Gauge(
            "sweepd_root_info", "The storage root: its identity and its path.", ["root_id", "path"], registry=registry
        )
        self._clock: Callable[[], tuple[timedelta, timedelta] | None] = lambda: None
        LiveGauge(
            "sweepd_clock_skew_seconds",
            "This machine's clock less the database's.",
            lambda: self._clocks(0),
            registry=registry,
        )
        LiveGauge(
            "sweepd_clock_jump_seconds",
            "How far this machine's clock is from where it should be since it was believed last.",
            lambda: self._clocks(1),
            registry=registry,
        )
        self._holds = Gauge("sweepd_holds", "Holds in force.", registry=registry)

    def watch(self, problems: Callable[[], Mapping[str, str | None]]) -> None:
        """Who knows what is wrong with each component, None if nothing is; asked at every scrape."""
        self._problems = problems

    def watch_clock(self, clock: Callable[[], tuple[timedelta, timedelta] | None]) -> None:
        """Who knows how far the clocks are apart, and how far this machine's has jumped; asked at every scrape."""
        self._clock = clock

    def watch_audit_file(self, behind: Callable[[], float | None]) -> None:
        """Who knows for how many seconds the audit file has been behind, None without one; asked at every scrape."""
        self._audit_file = behind

    def watchdog(self, problems: int) -> None:
        """So many parts of the daemon are dead."""
        self._watchdog_problems.set(problems)

    def root(self, root_id: str, path: str) -> None:
        """The root whose identity has been proven."""
        self._root.clear()
        self._root.labels(root_id, path).set(1)

    def rolled_back(self, rolled_back: bool) -> None:
        """Whether the database has forgotten what the storage root has seen."""
        self._rolled_back.set(1 if rolled_back else 0)

    def log_line_dropped(self) -> None:
        """A log line is lost."""
        self._log_lines_dropped.inc()

    def holds(self, number: int) -> None:
        """How many holds are in force."""
        self._holds.set(number)

    def _ready(self) -> Iterable[Sample]:
        problems = self._problems()
        return [((), float(bool(problems) and all(problem is None for problem in problems.values())))]

    def _clocks(self, which: int) -> Iterable[Sample]:
        seen = self._clock()
        return [] if seen is None else [((), seen[which].total_seconds())]
