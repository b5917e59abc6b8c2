"""The whole protocol, durable: deletions a second, and what a caller waits for."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path

from bench.report import Figure, Report
from bench.trees import tasks
from daemon.config import WorkersConfig
from daemon.deletion.engine import GROUP, Engine
from daemon.deletion.models import Request, Trigger, What
from daemon.storage.workers import Workers
from support.daemons import TASKS, Installation
from support.postgres import PostgresServer, create_pipeline_tables
from support.prepared import prepare
from support.site import Site
from support.stores import Store

BATCH = 1280
SINGLE = 300
RETAINED = 60
TURNS = 3
_JSON = {"Content-Type": "application/json"}
_MEMORY = Path("/dev/shm")


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Measure on both databases; with the directories (and the SQLite file) in memory too: what the engine costs."""
    for kind in ("postgresql", "sqlite"):
        _on(report, kind, folder, scale, server)
    if os.access(_MEMORY, os.W_OK):
        with tempfile.TemporaryDirectory(dir=_MEMORY) as place:
            for kind in ("postgresql", "sqlite"):
                _on(report, f"{kind}, tmpfs", Path(place), scale, server)


def _on(report: Report, kind: str, folder: Path, scale: float, server: PostgresServer) -> None:
    with _store(kind, folder, server) as store:
        _batched(report, kind, store, folder, scale)
        _retained(report, kind, store, folder, scale)
    with _store(kind, folder, server) as store:
        _single(report, kind, store, folder, scale)


def _batched(report: Report, kind: str, store: Store, folder: Path, scale: float) -> None:
    number = max(10, int(BATCH * scale))
    with _site(store, folder, "batch") as site:
        _fill(site.path, store, "warm", 4 * 64)
        # All before the first is removed: some file systems are slow to reuse what has just been freed.
        for turn in range(TURNS):
            _fill(site.path, store, f"turn{turn}", number)
            tasks(folder / f"beside{turn}", number / 200)
        os.sync()
        site.engine.delete_group([_request(f"warm_{index:05}") for index in range(4 * 64)])
        ratios, rates, floor = [], [], []
        for turn in range(TURNS):
            os.sync()
            requests = [_request(f"turn{turn}_{index:05}") for index in range(number)]
            groups = [requests[start : start + GROUP] for start in range(0, number, GROUP)]
            started = time.perf_counter()
            with ThreadPoolExecutor(WorkersConfig().sweeps) as pool:  # as a sweep does
                results = [result for done in pool.map(site.engine.delete_group, groups) for result in done]
            seconds = time.perf_counter() - started
            assert not any(isinstance(result, Exception) for result in results)
            started = time.perf_counter()
            subprocess.run(["rm", "-rf", str(folder / f"beside{turn}")], check=True)
            os.sync()
            alone = time.perf_counter() - started
            ratios.append(seconds / alone)
            rates.append(number / seconds)
            floor.append(number / alone)
        where = f"durable, {kind}"
        report.add(Figure(where, "batched", statistics.median(rates), "tasks/s", 1000, at_least=True))
        report.add(Figure(where, "rm -rf and sync alone", statistics.median(floor), "tasks/s"))
        report.add(Figure(where, "batched", statistics.median(ratios), "of the time of rm -rf and sync"))


def _retained(report: Report, kind: str, store: Store, folder: Path, scale: float) -> None:
    with _site(store, folder, "retain") as site:
        _fill(site.path, store, "kept", 1 + RETAINED)
        large = site.path / "kept_00001" / "large"
        large.mkdir()
        for index in range(max(10, int(100_000 * scale))):
            (large / str(index)).touch()
        os.sync()
        seconds = []
        for index in range(1 + RETAINED):
            started = time.perf_counter()
            site.engine.delete(_request(f"kept_{index:05}", timedelta(days=1)))
            seconds.append(time.perf_counter() - started)
        seconds = seconds[1:]  # in the first one the tables are looked at
        p99 = statistics.quantiles(seconds, n=100, method="inclusive")[98] * 1000  # never beyond the slowest of them
        report.add(Figure(f"retain, {kind}", "p99 of the caller's wait", p99, "ms", 15))
        report.add(Figure(f"retain, {kind}", f"the one of {int(100_000 * scale):,} files", seconds[0] * 1000, "ms", 15))


def _single(report: Report, kind: str, store: Store, folder: Path, scale: float) -> None:
    number = max(20, int(SINGLE * scale))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Installation(Path(place) / "site", store.url)
        made.run("init")
        _fill(made.root, store, "one", number + 20)
        os.sync()
        seconds = []
        with made.daemon(cold=True) as daemon, _connection(daemon.address) as connection:
            daemon.wait_for_event("scan_finished")  # which it does now and then, not beside each request
            for index in range(number + 20):
                started = time.perf_counter()
                connection.request("DELETE", f"{TASKS}/one_{index:05}", '{"confirm": true}', _JSON)
                answer = connection.getresponse()
                text = answer.read()
                seconds.append(time.perf_counter() - started)
                assert answer.status == 200, text
            memory = daemon.memory()
        seconds = seconds[20:]
        where = f"durable, {kind}"
        report.add(Figure(where, "one request at a time", number / sum(seconds), "tasks/s", 150, at_least=True))
        report.add(Figure(where, "one request at a time, p50", statistics.median(seconds) * 1000, "ms", 10))
        report.add(Figure(where, "the daemon after it", memory.resident_mb, "MB resident"))


@contextmanager
def _connection(address: str) -> Iterator[HTTPConnection]:
    """Kept alive, and with little work of its own: the daemon is measured, not its client."""
    with closing(HTTPConnection(address.removeprefix("http://"), timeout=60)) as connection:
        yield connection


def _request(task_id: str, retain: timedelta | None = None) -> Request:
    return Request(task_id, What.DIRECTORY, Trigger.API, "bench", retain=retain)


def _fill(root: Path, store: Store, prefix: str, number: int) -> None:
    made = root.parent / f"{prefix}.made"
    tasks(made, number / 200)
    for index, path in enumerate(sorted(made.iterdir())):
        path.rename(root / f"{prefix}_{index:05}")
        store.add_task(f"{prefix}_{index:05}", status="completed")
    made.rmdir()


@contextmanager
def _store(kind: str, folder: Path, server: PostgresServer) -> Iterator[Store]:
    if kind.startswith("sqlite"):
        path = folder / f"catalog-{time.monotonic_ns()}.sqlite3"
        url = f"sqlite:///{path}"
    else:
        url = server.create_database()
        create_pipeline_tables(url)
    prepare(url)
    yield Store(url)


@contextmanager
def _site(store: Store, folder: Path, name: str) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(dir=folder, prefix=name) as place:
        site = Site(store, Path(place) / "root", processes=2)
        store.query("DELETE FROM sweepd_roots")
        site.init()
        site.engine = Engine(site.root, site.tools)
        assert isinstance(site.workers, Workers)
        try:
            yield site
        finally:
            site.close()
