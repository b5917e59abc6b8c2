"""What the API needs of the rest of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from daemon.catalog.catalog import Catalog
from daemon.config import ServerConfig
from daemon.deletion.engine import Engine
from daemon.deletion.holding import Holds
from daemon.deletion.progress import Purges
from daemon.deletion.restore import Restorer
from daemon.deletion.retention import Retention
from daemon.metrics.registry import Metrics
from daemon.policy.models import PolicySet
from daemon.storage.root import StorageRoot
from daemon.sweep.sweeper import Sweeper


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A reload that took effect: the policies now in force, and what is another one than before."""

    policies: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Made by the composition root; the API closes none of it.

    ``deletions`` (of ``deletion_threads``) and ``reads`` are separate pools: lists are never starved by deletions.
    ``readiness`` maps each component (catalog, storage_root, recovery, scheduler) to None if it is fine, else to what
    is wrong with it. ``server`` and ``policies`` give those in force. The three are called on the event loop, and must
    not block. ``reload``, given who asks for it, blocks, and raises SweepdError.
    """

    engine: Engine
    restorer: Restorer
    retention: Retention
    holds: Holds
    purges: Purges
    catalog: Catalog
    metrics: Metrics
    server: Callable[[], ServerConfig]
    deletions: Executor
    deletion_threads: int
    reads: Executor
    policies: Callable[[], PolicySet]
    sweeper: Sweeper
    readiness: Callable[[], Mapping[str, str | None]]
    root: StorageRoot
    reload: Callable[[str], Reloaded]
