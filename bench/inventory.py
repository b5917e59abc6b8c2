"""A scan of the storage root beside ``du -s`` on the same tree: the first one, and one when nothing has changed."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from bench.report import Figure, Report
from bench.trees import tasks_of_250
from daemon.deletion.doubt import tasks_in_doubt
from daemon.inventory.scan import Scanner
from daemon.storage.workers import Workers
from support.postgres import PostgresServer, create_pipeline_tables
from support.prepared import prepare
from support.site import Site
from support.stores import Store

TASKS = 4000
TURNS = 3
_LONG_AGO = "2020-01-01 00:00:00"


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Measure on both databases."""
    number = max(10, int(TASKS * scale))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place) / "root"
        tasks_of_250(root, number / TASKS)
        for kind in ("postgresql", "sqlite"):
            if kind == "sqlite":
                url = f"sqlite:///{place}/catalog.sqlite3"
            else:
                url = server.create_database()
                create_pipeline_tables(url)
            prepare(url)
            _one(report, kind, Store(url), root)


def _one(report: Report, kind: str, store: Store, root: Path) -> None:
    site = Site(store, root)
    site.init()
    names = sorted(path.name for path in root.iterdir() if path.name.startswith("task_"))
    for name in names:
        store.add_task(name, status="completed", created_at=_LONG_AGO, updated_at=_LONG_AGO)
    # The rest of the machine is idle but for ``du``, which is not at idle priority either.
    site.workers = Workers(2, priority="normal")
    scanner = Scanner(
        site.root, site.catalog, site.workers, site.metrics, recount=timedelta(days=7), in_doubt=tasks_in_doubt
    )
    du, first, again = [], [], []
    try:
        _scan(scanner, measured=len(names))
        for _ in range(TURNS):
            du.append(_seconds(lambda: subprocess.run(["du", "-s", str(root)], check=True, capture_output=True)))
            store.query("DELETE FROM sweepd_inventory")
            first.append(_seconds(lambda: _scan(scanner, measured=len(names))))
            again.append(_seconds(lambda: _scan(scanner, measured=0)))
    finally:
        site.close()
    files = f"{250 * len(names):,} files in {len(names):,} directories"
    beside = statistics.median(du)
    section = f"inventory, {kind}"
    report.add(Figure(section, f"first scan, {files}", statistics.median(first) / beside, "of du -s", 0.9))
    report.add(Figure(section, "nothing changed", statistics.median(again) / beside, "of du -s", 0.05))
    report.add(Figure(section, "nothing changed", statistics.median(again) * 1000, "ms"))


def _scan(scanner: Scanner, *, measured: int) -> None:
    done = scanner.scan()
    assert done is not None
    assert done.measured == measured


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
