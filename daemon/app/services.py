"""Everything that blocks, built once from the configuration. The command line uses it without the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from daemon.catalog.catalog import Catalog
from daemon.config import Config
from daemon.deletion.engine import Engine
from daemon.deletion.recovery import Recovery
from daemon.metrics import Metrics
from daemon.policy.loader import load_policies
from daemon.policy.models import PolicySet
from daemon.storage.root import StorageRoot
from daemon.sweep.sweeper import Sweeper


@dataclass(frozen=True, slots=True)
class Services:
    """One installation. Making it touches neither the database nor the storage root."""

    config: Config
    catalog: Catalog
    root: StorageRoot
    metrics: Metrics
    engine: Engine
    recovery: Recovery
    sweeper: Sweeper

    def load_policies(self) -> PolicySet:
        """The policies as the files say now. Raises DocumentError with every mistake in them."""
        return load_policies(self.config.policies, statuses=self.config.catalog.statuses)


@contextmanager
def build(config: Config) -> Iterator[Services]:
    """Build the services, and close the database's connections in the end."""
    catalog = Catalog(
        config.catalog.url.get_secret_value(),
        timezone=config.catalog.timezone,
        running_statuses=tuple(config.catalog.running_statuses),
        # every deletion by hand, every deletion of every sweep, and the readers beside them
        pool_size=config.workers.deletions + config.workers.sweeps**2 + 8,
    )
    metrics = Metrics()
    root = StorageRoot(config.storage.root, catalog.root_id)
    engine = Engine(root, catalog, metrics)
    try:
        yield Services(
            config=config,
            catalog=catalog,
            root=root,
            metrics=metrics,
            engine=engine,
            recovery=Recovery(root, catalog, metrics),
            sweeper=Sweeper(root, catalog, engine, metrics, workers=config.workers.sweeps),
        )
    finally:
        catalog.close()
