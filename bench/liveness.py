"""How fast ``/livez`` answers while two workers purge."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from bench.report import Figure, Report
from bench.trees import small_files
from support.daemons import Daemon, Installation
from support.postgres import PostgresServer, create_pipeline_tables
from support.stores import Store


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Idle, then during a purge, of the same daemon."""
    url = server.create_database()
    create_pipeline_tables(url)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Installation(Path(place) / "site", url)
        made.run("init")
        Store(url).add_task("task_large", status="completed")
        small_files(made.root / "task_large", scale)
        os.sync()
        with made.daemon() as daemon:
            _ask(daemon, lambda: False, 200)
            idle = _ask(daemon, lambda: False, 1000)
            asked = threading.Thread(target=lambda: daemon.delete("task_large"))
            asked.start()
            busy = _ask(daemon, asked.is_alive, 200)
            asked.join()
    ratio_target = idle * 1.5 + 2
    report.add(Figure("liveness", "/livez p99 idle", idle, "ms"))
    report.add(Figure("liveness", f"/livez p99 while {int(200_000 * scale):,} files go", busy, "ms", ratio_target))


def _ask(daemon: Daemon, going: Callable[[], bool], least: int) -> float:
    """p99 in milliseconds."""
    seconds: list[float] = []
    with requests.Session() as session:
        while len(seconds) < least or going():
            started = time.perf_counter()
            assert session.get(f"{daemon.address}/livez", timeout=30).status_code == 200
            seconds.append(time.perf_counter() - started)
            time.sleep(0.002)
    return statistics.quantiles(seconds, n=100)[98] * 1000
