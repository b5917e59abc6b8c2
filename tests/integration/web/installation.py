"""A whole installation behind a real server on a loopback port: storage root, SQLite catalog, engine, API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from daemon.catalog import setup
from daemon.catalog.catalog import Catalog
from daemon.catalog.clock_guard import ClockGuard
from daemon.catalog.database import Database
from daemon.config import ServerConfig
from daemon.deletion.continuity import Continuity
from daemon.deletion.engine import Engine
from daemon.deletion.holding import Holds
from daemon.deletion.progress import Purges
from daemon.deletion.purge import Tools
from daemon.deletion.restore import Restorer
from daemon.deletion.retention import Retention
from daemon.errors import SweepdError
from daemon.metrics.registry import Metrics
from daemon.policy.models import PolicySet
from daemon.storage.root import StorageRoot, mark
from daemon.storage.workers import Workers
from daemon.sweep.sweeper import Sweeper
from daemon.web.addresses import DESCRIPTION, DOCUMENTATION, TASKS
from daemon.web.application import OPERATIONS, make_application
from daemon.web.connections import Connections, Limits
from daemon.web.context import ApiContext, Reloaded
from daemon.web.server import ApiRunner
from support.conformance import check_answer

NO_DATABASE = "postgresql://nobody@127.0.0.1:1/nothing"
"""Nothing listens there."""

COMPONENTS = ("catalog", "storage_root", "recovery", "scheduler")


class Installation:
    """A storage root and a catalog, copied from ``prepared``.

    Rows go in and come out through sqlite3, never through the daemon.
    """

    def __init__(self, folder: Path, prepared: Path) -> None:
        self.root = folder / "training_data"
        self.policies = PolicySet()
        self.reload_error: SweepdError | None = None
        self.database = folder / "catalog.sqlite3"
        shutil.copyfile(prepared, self.database)
        database = Database(self.url)
        setup.register_root(database, mark(self.root), str(self.root), replace=False)
        database.close()

    def reload(self, _who: str) -> Reloaded:
        """A stand-in for the composition root, which has its own tests: what the answer looks like."""
        if self.reload_error is not None:
            raise self.reload_error
        return Reloaded(tuple(policy.name for policy in self.policies.policies), ("policy old", "server.max_batch"))

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            connection.row_factory = sqlite3.Row
            yield connection

    def row(self, task_id: str, **columns: object) -> None:
        """Insert a task's row, without a directory."""
        values = {
            "task_id": task_id,
            "status": "completed",
            "parameters": json.dumps({"db_connection": "postgresql://pipeline:hunter2@db/x"}),
            "created_at": "2025-07-02 17:39:32",
            **columns,
        }
        names, marks = ", ".join(values), ", ".join("?" for _ in values)
        with self.sql() as connection:
            connection.execute(f"INSERT INTO data_pipeline_tasks ({names}) VALUES ({marks})", tuple(values.values()))

    def step(self, task_id: str, status: str) -> None:
        statement = "INSERT INTO data_pipeline_task_steps (task_id, step_name, step_status) VALUES (?, ?, ?)"
        with self.sql() as connection:
            connection.execute(statement, (task_id, "training_load", status))

    def seen(self, task_id: str, *, freed_bytes: int = 8192, **counts: object) -> None:
        """What a scan would have noted of a directory."""
        now = "2026-01-01 00:00:00.000000"
        stamps = dict.fromkeys(("first_seen_at", "last_seen_at", "measured_at", "modified_at"), now)
        values = {"task_id": task_id, "sightings": 2, "signature": "-", "directories": 1, "freed_bytes": freed_bytes}
        values |= {"orphan_since": now, "orphan_sightings": 2}
        values |= {**stamps, **counts}
        names, marks = ", ".join(values), ", ".join("?" for _ in values)
        with self.sql() as connection:
            connection.execute(f"INSERT INTO sweepd_inventory ({names}) VALUES ({marks})", tuple(values.values()))

    def files(self, task_id: str, *sizes: int) -> Path:
        """Make a task directory with one sparse file of each size, every other one in a folder below."""
        directory = self.root / task_id
        (directory / "below").mkdir(parents=True)
        for number, size in enumerate(sizes):
            path = directory / ("below" if number % 2 else ".") / f"file-{number}"
            path.touch()
            os.truncate(path, size)
        return directory

    def task(self, task_id: str, *sizes: int, **columns: object) -> None:
        """A task with its row and its directory."""
        self.row(task_id, **columns)
        self.files(task_id, *sizes)

    def fifteen(self, task_id: str) -> None:
        """The contract's example: 15 files, 2,500,000 bytes in all."""
        self.task(task_id, *[166_666] * 14, 166_676)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Every task's row by its id."""
        with self.sql() as connection:
            found = connection.execute("SELECT * FROM data_pipeline_tasks").fetchall()
        return {row["task_id"]: dict(row) for row in found}

    def steps(self) -> list[str]:
        """The task ids of all steps."""
        with self.sql() as connection:
            return [row["task_id"] for row in connection.execute("SELECT task_id FROM data_pipeline_task_steps")]

    def journal(self) -> list[dict[str, Any]]:
        with self.sql() as connection:
            return [dict(row) for row in connection.execute("SELECT * FROM sweepd_deletions ORDER BY deletion_id")]

    def tree(self) -> set[str]:
        """Every path in the root but what sweepd keeps ready there; an emptied trash does not count."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        kept = {".sweepd", *(f".sweepd/{name}" for name in ("root.json", "marks", "trash", "retained", "quarantine"))}
        return {path for path in found - kept if not path.startswith(".sweepd/reserve")}

    def everything(self) -> tuple[set[str], dict[str, dict[str, Any]], list[dict[str, Any]]]:
        """For tests that nothing changes."""
        return self.tree(), self.rows(), self.journal()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: MultiMapping[str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        value = json.loads(self.raw)
        assert isinstance(value, dict)
        return value

    @property
    def bare(self) -> dict[str, Any]:
        """The body of an error without what `check_envelope` has seen to: its hint and its request id."""
        return {name: value for name, value in self.body.items() if name not in ("hint", "request_id")}


@dataclass
class Api:
    """A running server. ``problems`` is what its readiness answers, and may be changed at any time."""

    port: int
    session: aiohttp.ClientSession
    runner: web.AppRunner
    context: ApiContext
    problems: dict[str, str | None] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str | URL, **options: Any) -> Answer:
        """A request; its answer must have the envelope and the headers that all answers have."""
        url = path if isinstance(path, URL) else self.base + path
        async with self.session.request(method, url, **options) as response:
            answer = Answer(response.status, response.headers, await response.read())
        check_headers(answer, policy=path != DOCUMENTATION)
        if method != "HEAD" and path not in ("/metrics", DESCRIPTION, DOCUMENTATION):
            check_envelope(answer)
        operations = self.runner.app[OPERATIONS]
        check_answer(operations, method, URL(url), answer.status, answer.headers, answer.raw)
        return answer

    async def delete(self, task_id: str, **body: Any) -> Answer:
        return await self.ask("DELETE", f"{TASKS}/{task_id}", json={"confirm": True, **body})

    async def batch(self, *task_ids: str, headers: Mapping[str, str] | None = None, **body: Any) -> Answer:
        sent = {"task_ids": list(task_ids), "confirm": True, **body}
        return await self.ask("DELETE", TASKS, json=sent, headers=headers)

    async def listing(self, query: str = "") -> Answer:
        return await self.ask("GET", TASKS + query)

    async def until(self, sample: str) -> None:
        """Wait until the metrics have this line; the test's own time limit ends it."""
        while f"\n{sample}\n".encode() not in (await self.ask("GET", "/metrics")).raw:
            await asyncio.sleep(0.01)

    async def raw(self, data: bytes) -> Answer:
        """Send bytes as they are; they have to ask for the connection to be closed, or be refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        head, _, body = received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        pairs = (text.partition(": ") for text in lines)
        answer = Answer(int(line.split(" ")[1]), CIMultiDict((name, value) for name, _, value in pairs), body)
        check_headers(answer)
        check_envelope(answer)
        return answer


def check_headers(answer: Answer, *, policy: bool = True) -> None:
    headers = answer.headers
    assert len(headers["X-Request-Id"]) == 32
    assert int(headers["X-Request-Id"], 16) >= 0
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; " if policy else "default-src ")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert not [name for name in headers if name.lower().startswith("access-control-")]
    assert headers["Server"] == "sweepd"


def check_envelope(answer: Answer) -> None:
    body = answer.body
    assert body["code"] == answer.status
    assert body["success"] is (answer.status < 400)
    assert body["message"]
    assert ("error_code" in body) is (answer.status >= 400)
    if answer.status >= 400:
        if "Idempotency-Replayed" not in answer.headers:  # else the body is the first answer, letter for letter
            assert body["request_id"] == answer.headers["X-Request-Id"]
        assert body["hint"]
        assert body["hint"] != body["message"]


@asynccontextmanager
async def serving(
    installation: Installation,
    *,
    server: ServerConfig | None = None,
    url: str | None = None,
    threads: int = 4,
    handler_cancellation: bool = False,
    limits: Limits | None = None,
) -> AsyncIterator[Api]:
    """Serve the installation, or its storage root with the catalog at ``url``."""
    metrics = Metrics()
    catalog = Catalog(url or installation.url, timezone=None, running_statuses=("running", "in_progress"))
    root = StorageRoot(installation.root, catalog.root_id)
    tools = Tools(catalog, metrics, Workers(0), Purges(), Continuity(catalog, metrics))
    engine = Engine(root, tools)
    deletions, reads = ThreadPoolExecutor(threads), ThreadPoolExecutor(2)
    problems: dict[str, str | None] = dict.fromkeys(COMPONENTS)
    context = ApiContext(
        engine=engine,
        restorer=Restorer(root, tools),
        retention=Retention(root, tools),
        holds=Holds(catalog, metrics),
        purges=tools.purges,
        catalog=catalog,
        metrics=metrics,
        server=lambda: server or ServerConfig(),
        deletions=deletions,
        deletion_threads=threads,
        reads=reads,
        policies=lambda: installation.policies,
        sweeper=Sweeper(
            root, catalog, engine, metrics, ClockGuard(catalog), retention=Retention(root, tools), workers=2
        ),
        readiness=lambda: problems,
        root=root,
        reload=installation.reload,
    )
    runner = ApiRunner(
        make_application(context),
        connections=Connections(limits or Limits(), metrics.server.connection_closed),
        access_log=None,
        shutdown_timeout=10.0,
        handler_cancellation=handler_cancellation,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Api(runner.addresses[0][1], session, runner, context, problems)
    await runner.cleanup()
    await asyncio.to_thread(deletions.shutdown)
    await asyncio.to_thread(reads.shutdown)
    await asyncio.to_thread(catalog.close)
