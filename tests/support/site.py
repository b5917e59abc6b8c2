"""A whole installation below the web: a storage root, a database, and the engine over both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemon.catalog import setup
from daemon.catalog.catalog import Catalog
from daemon.catalog.clock_guard import ClockGuard
from daemon.deletion.continuity import Continuity
from daemon.deletion.engine import Engine
from daemon.deletion.hold_terms import Terms
from daemon.deletion.holding import Holds, Placed
from daemon.deletion.models import Request, Trigger, What
from daemon.deletion.progress import Purges
from daemon.deletion.purge import Tools
from daemon.deletion.recovery import Recovery
from daemon.deletion.restore import Restorer
from daemon.deletion.retention import Retention
from daemon.metrics.registry import Metrics
from daemon.storage.root import StorageRoot, mark
from daemon.storage.workers import Workers
from daemon.sweep.sweeper import Sweeper
from support.auditor import Before, remember
from support.stores import Store
from support.trees import fill

RUNNING = ("in_progress", "running")


def make_catalog(store: Store, *, timezone: str | None = None) -> Catalog:
    return Catalog(store.url, timezone=timezone, running_statuses=RUNNING)


class Site:
    """``path`` is the storage root. Every process makes its own Site over the same root and database."""

    def __init__(self, store: Store, path: Path, *, url: str | None = None, processes: int = 0) -> None:
        self.store = store
        self.path = path
        self.catalog = Catalog(url or store.url, timezone=None, running_statuses=RUNNING)
        self.root = StorageRoot(path, self.catalog.root_id, self.catalog.unmarked_root)
        self.metrics = Metrics()
        self.workers = Workers(processes)
        self.tools = Tools(self.catalog, self.metrics, self.workers, Purges(), Continuity(self.catalog, self.metrics))
        self.engine = Engine(self.root, self.tools)
        self.restorer = Restorer(self.root, self.tools)
        self.retention = Retention(self.root, self.tools)
        self.holds = Holds(self.catalog, self.metrics)

    def init(self) -> None:
        """Mark the root and tie the database to it."""
        setup.register_root(self.catalog.database, mark(self.path), str(self.path), replace=False)

    @property
    def recovery(self) -> Recovery:
        """As a daemon that has just started has it."""
        return Recovery(self.root, self.tools)

    def sweeper(self, clock_guard: ClockGuard | None = None, *, workers: int = 1) -> Sweeper:
        """As a daemon has it."""
        guard = clock_guard or ClockGuard(self.catalog)
        tools = (self.root, self.catalog, self.engine, self.metrics)
        return Sweeper(*tools, guard, retention=self.retention, workers=workers)

    def close(self) -> None:
        self.workers.close()
        self.catalog.close()

    def task(self, task_id: str, *, files: int = 3, steps: int = 2, **columns: object) -> Before:
        """A task with its row, its steps and its directory."""
        self.store.add_task(task_id, **{"status": "completed", **columns})
        for _ in range(steps):
            self.store.add_step(task_id)
        return self.directory(task_id, files=files)

    def directory(self, task_id: str, *, files: int = 3) -> Before:
        """A task directory alone."""
        fill(self.path / task_id, files)
        return self.before(task_id)

    def hold(self, pattern: str, **options: Any) -> Placed:
        """Place a hold, Alice's if nobody else is named."""
        return self.holds.place(Terms(pattern, **{"reason": "an audit", "owner": "alice", **options}), "test")

    def before(self, task_id: str) -> Before:
        return remember(self.store, self.path, task_id)

    @property
    def trash(self) -> Path:
        return self.path / ".sweepd" / "trash"

    @property
    def retained(self) -> Path:
        return self.path / ".sweepd" / "retained"

    def entries(self) -> list[Path]:
        return sorted(self.trash.iterdir()) if self.trash.exists() else []

    def held(self, entry: Path) -> Path:
        """The only task directory in an entry of the trash."""
        (found,) = (path for path in entry.iterdir() if path.is_dir())
        return found

    def contents(self, entry: Path) -> list[str]:
        """What lies in an entry of the trash, with its deletion's id left out."""
        names = {".census": "census", ".purge": "data", "": "data"}
        return sorted(path.name if path.name == "manifest.json" else names[path.suffix] for path in entry.iterdir())

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def request(task_id: str, what: What = What.DIRECTORY, **options: Any) -> Request:
    return Request(task_id=task_id, what=what, trigger=Trigger.API, initiator="api:127.0.0.1", **options)


@contextmanager
def opened(store: Store, path: Path, *, url: str | None = None) -> Iterator[Site]:
    site = Site(store, path, url=url)
    try:
        yield site
    finally:
        site.close()
