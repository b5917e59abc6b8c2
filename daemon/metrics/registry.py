"""All metrics of one daemon."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from daemon import __version__
from daemon.metrics.database import DatabaseMetrics
from daemon.metrics.deletions import DeletionMetrics
from daemon.metrics.health import HealthMetrics
from daemon.metrics.inventory import InventoryMetrics
from daemon.metrics.jobs import JobMetrics
from daemon.metrics.notifications import NotificationMetrics
from daemon.metrics.policies import PolicyMetrics
from daemon.metrics.reloads import ReloadMetrics
from daemon.metrics.server import ServerMetrics
from daemon.metrics.space import SpaceMetrics
from daemon.metrics.trash import TrashMetrics


class Metrics:
    """One registry per running daemon, so that tests and reloads never share counters; one attribute per subject."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # _created series only double their number
        registry = self.registry = CollectorRegistry()
        self.health = HealthMetrics(registry)
        self.policies = PolicyMetrics(registry)
        self.deletions = DeletionMetrics(registry)
        self.reloads = ReloadMetrics(registry)
        self.trash = TrashMetrics(registry)
        self.inventory = InventoryMetrics(registry)
        self.jobs = JobMetrics(registry)
        self.server = ServerMetrics(registry)
        self.notifications = NotificationMetrics(registry)
        self.space = SpaceMetrics(registry)
        self.database = DatabaseMetrics(registry)
        Info("sweepd_build", "Version of the daemon.", registry=registry).info({"version": __version__})

        ProcessCollector(registry=registry)  # reads /proc, which is memory
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
