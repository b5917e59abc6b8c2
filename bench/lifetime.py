"""How long a daemon with 100,000 tasks takes to start, how much memory it has, and how much after deleting them all."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import requests

from bench.report import Figure, Report
from support.daemons import TASKS, Daemon, Installation
from support.postgres import PostgresServer, create_pipeline_tables
from support.stores import Store

TASKS_MADE = 100_000
_BATCH = 1000
_COLUMNS = "task_id, parameters, status"
_ROWS = "SELECT 'task_' || lpad(n::text, 6, '0'), '{}', 'completed' FROM generate_series(1, %d) AS n"


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Measure on PostgreSQL: tasks with one empty file each, deleted by batch requests."""
    number = max(2 * _BATCH, int(TASKS_MADE * scale))
    url = server.create_database()
    create_pipeline_tables(url)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Installation(Path(place) / "site", url)
        made.run("init")
        Store(url).query(f"INSERT INTO data_pipeline_tasks ({_COLUMNS}) {_ROWS % number}")
        names = [f"task_{index:06}" for index in range(1, number + 1)]
        for name in names:
            (made.root / name).mkdir()
            (made.root / name / "file").touch()
        with made.daemon(cold=True) as daemon:  # counts them all, which is done once
            daemon.wait_for_event("scan_finished")
        started = time.perf_counter()
        with made.daemon(cold=True) as daemon:
            seconds = time.perf_counter() - started
            report.add(Figure("lifetime", f"start to ready, {number:,} tasks", seconds, "s", 2))
            daemon.wait_for_event("scan_finished")
            time.sleep(2)
            idle = daemon.memory()
            report.add(Figure("lifetime", "the idle daemon", idle.resident_mb, "MB resident", 80))
            report.add(Figure("lifetime", "the idle daemon, without pages of program files", idle.own_mb, "MB"))
            _delete(daemon, names[:_BATCH])
            first = daemon.memory().resident_mb
            for start in range(_BATCH, number, _BATCH):
                _delete(daemon, names[start : start + _BATCH])
            growth = daemon.memory().resident_mb / first
            report.add(Figure("lifetime", f"resident after {number:,} deletions", growth, "of after 1,000", 1.05))


def _delete(daemon: Daemon, names: list[str]) -> None:
    answer = requests.delete(f"{daemon.address}{TASKS}", json={"task_ids": names, "confirm": True}, timeout=300)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]["deleted_tasks"]) == len(names)
