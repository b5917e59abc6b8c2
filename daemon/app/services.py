"""Everything that blocks, built once from the configuration. The command line uses it without the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.catalog.catalog import Catalog
from daemon.catalog.clock_guard import ClockGuard
from daemon.config import Config
from daemon.deletion.continuity import Continuity
from daemon.deletion.doubt import tasks_in_doubt
from daemon.deletion.engine import Engine
from daemon.deletion.holding import Holds
from daemon.deletion.progress import Purges
from daemon.deletion.purge import Tools
from daemon.deletion.recovery import Recovery
from daemon.deletion.restore import Restorer
from daemon.deletion.retention import Retention
from daemon.inventory.scan import Scanner
from daemon.metrics.registry import Metrics
from daemon.policy.loader import load_policies
from daemon.policy.models import PolicySet
from daemon.storage.marks import BelievedTime
from daemon.storage.reserve import make_room_for
from daemon.storage.root import StorageRoot
from daemon.storage.workers import Workers
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
    restorer: Restorer
    retention: Retention
    continuity: Continuity
    tools: Tools
    workers: Workers
    holds: Holds
    purges: Purges
    clock_guard: ClockGuard
    sweeper: Sweeper
    scanner: Scanner

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
        statuses=tuple(config.catalog.statuses),
        # every deletion by hand, every deletion of every sweep, and the readers beside them
        pool_size=config.workers.deletions + config.workers.sweeps**2 + 12,
    )
    if catalog.database.is_sqlite:
        file = Path(catalog.database.url.database or "")
        catalog.database.make_room = partial(make_room_for, config.storage.root, file.parent)
    catalog.database.audited = config.audit.file is not None
    metrics = Metrics()
    metrics.database.watch(catalog.database.pool)
    root = StorageRoot(config.storage.root, catalog.root_id, catalog.unmarked_root)
    workers = Workers(
        config.workers.processes,
        priority=config.workers.priority,
        max_files_per_second=config.workers.max_files_per_second,
    )
    tools = Tools(catalog, metrics, workers, Purges(), Continuity(catalog, metrics))
    engine = Engine(root, tools)
    clock_guard = ClockGuard(catalog, BelievedTime(root))
    metrics.health.watch_clock(lambda: clock_guard.last)
    metrics.inventory.every(config.inventory.every.total_seconds() if config.inventory.enabled else 0)
    retention = Retention(root, tools)
    try:
        yield Services(
            config=config,
            catalog=catalog,
            root=root,
            metrics=metrics,
            engine=engine,
            recovery=Recovery(root, tools),
            restorer=Restorer(root, tools),
            retention=retention,
            continuity=tools.continuity,
            tools=tools,
            workers=workers,
            holds=Holds(catalog, metrics),
            purges=tools.purges,
            clock_guard=clock_guard,
            scanner=Scanner(root, catalog, workers, metrics, recount=config.inventory.recount, in_doubt=tasks_in_doubt),
            sweeper=Sweeper(
                root, catalog, engine, metrics, clock_guard, retention=retention, workers=config.workers.sweeps
            ),
        )
    finally:
        workers.close()
        catalog.close()
