"""The metrics of a daemon with one policy that knows everything there is to know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from daemon.metrics.database import PoolFacts
from daemon.metrics.policies import PolicyFacts
from daemon.metrics.registry import Metrics
from daemon.metrics.space import SpaceFacts
from daemon.metrics.trash import TrashFacts

_AT = datetime(2026, 1, 1, tzinfo=UTC)


def whole() -> Metrics:
    """Every metric with every label it can have."""
    metrics = Metrics()
    metrics.policies.load([PolicyFacts("p", "enforce", lambda last: last, _AT, None, None, None, 0, True)])
    metrics.policies.quota("p", 3, 2, 1, 0)
    metrics.policies.schedule(lambda: {"p": _AT})
    metrics.health.root("id", "/root")
    metrics.health.watch(lambda: {"catalog": None})
    metrics.health.watch_clock(lambda: (timedelta(), timedelta()))
    metrics.health.watch_audit_file(lambda: 0.0)
    metrics.database.watch(lambda: PoolFacts(1, 1, 1, 0))
    metrics.server.operations(["tasks_get"])
    metrics.space.seen(SpaceFacts(5, 4, 3, 2, 1), 1)
    metrics.trash.waiting(TrashFacts(1, 2, 3, _AT, _AT, 4, _AT))
    metrics.inventory.found(_AT, 1, 2, orphans=3, missing=4)
    metrics.notifications.known("ops")
    return metrics


def labels() -> dict[str, set[str]]:
    """By the name that a query uses, the labels of each metric."""
    return {
        sample.name: set(sample.labels) | {"instance", "job"}
        for family in whole().registry.collect()
        for sample in family.samples
    }
