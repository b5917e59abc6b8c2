"""Values that are only true at the moment of the scrape: worked out then, from what is in memory, never from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Sample: TypeAlias = tuple[Sequence[str], float]
"""The values of the labels, and the value."""


class LiveGauge(Collector):
    """A gauge whose samples ``read`` gives anew for every scrape; it must not block. No sample: nothing is known."""

    def __init__(
        self,
        name: str,
        documentation: str,
        read: Callable[[], Iterable[Sample]],
        labels: Sequence[str] = (),
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._read = read
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """The name alone, for the registry."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        """The samples of this moment."""
        family = self._family()
        for values, value in self._read():
            family.add_metric(values, value)
        return [family]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
