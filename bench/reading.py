"""How fast 64 clients read while a directory of a million files is purged."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from bench.report import Figure, Report
from bench.trees import small_files
from support.daemons import TASKS, Daemon, Installation
from support.postgres import PostgresServer, create_pipeline_tables
from support.stores import Store

CLIENTS = 64
_ROWS = 1000
_IDLE_S = 5.0


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Idle, then during a purge, of the same daemon: ``/livez``, the list and the job in turns."""
    url = server.create_database()
    create_pipeline_tables(url)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Installation(Path(place) / "site", url)
        # at idle priority the purge would wait for the clients, which take all of the processor that they can get
        text = made.config.read_text(encoding="utf-8")
        made.config.write_text(f"{text}workers: {{priority: normal}}\n", encoding="utf-8")
        made.run("init")
        store = Store(url)
        for number in range(_ROWS):
            store.add_task(f"task_{number:05}", status="completed")
        store.add_task("task_large", status="completed")
        small_files(made.root / "task_large", 5 * scale)
        os.sync()
        with made.daemon() as daemon:
            asyncio.run(_measure(report, daemon, files=int(1_000_000 * scale)))


async def _measure(report: Report, daemon: Daemon, *, files: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(daemon.address, connector=connector) as session:
        end = time.monotonic() + _IDLE_S
        _tell(report, "idle", *await _read(session, ["/livez", TASKS], lambda: time.monotonic() < end))
        body = {"confirm": True, "async": True}
        async with session.delete(f"{TASKS}/task_large", json=body) as response:
            job = (await response.json())["data"]
        watching = asyncio.create_task(_ended(session, job["url"]))
        paths = ["/livez", TASKS, job["url"]]
        _tell(report, f"while {files:,} files go", *await _read(session, paths, lambda: not watching.done()))
        result = await watching
    deleted = result["deleted_tasks"][0]["deleted_files_count"]
    report.add(Figure("reading", "files purged meanwhile", deleted, "files", files, at_least=True))


def _tell(report: Report, when: str, seconds: list[float], errors: int, took: float) -> None:
    report.add(Figure("reading", f"{CLIENTS} clients {when}", len(seconds) / took, "requests/s"))
    report.add(Figure("reading", f"p99 {when}", statistics.quantiles(seconds, n=100)[98] * 1000, "ms"))
    report.add(Figure("reading", f"errors {when}", errors, "", 0))


async def _read(
    session: aiohttp.ClientSession, paths: list[str], going: Callable[[], bool]
) -> tuple[list[float], int, float]:
    """The seconds of each request, how many were not answered 200, and how long it took in all."""
    seconds: list[float] = []
    errors = 0

    async def client(first: int) -> None:
        nonlocal errors
        turn = first
        while going():
            started = time.perf_counter()
            try:
                async with session.get(paths[turn % len(paths)]) as response:
                    await response.read()
                    errors += response.status != 200
            except aiohttp.ClientError:
                errors += 1
            seconds.append(time.perf_counter() - started)
            turn += 1

    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return seconds, errors, time.perf_counter() - begun


async def _ended(session: aiohttp.ClientSession, url: str) -> dict[str, list[dict[str, int]]]:
    while True:
        async with session.get(url) as response:
            result: dict[str, list[dict[str, int]]] | None = (await response.json())["data"]["result"]
        if result is not None:
            return result
        await asyncio.sleep(0.2)
