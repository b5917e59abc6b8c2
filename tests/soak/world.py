"""One installation under load, and what is known of every task in it without asking the daemon."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import psycopg2
import requests

from soak.policies import policies
from support.auditor import Before, remember
from support.daemons import Daemon, Installation
from support.stores import Row, Store
from support.trees import fill

_T = TypeVar("_T")
API = "/api/v0"
TASKS = f"{API}/data_pipeline/tasks"
LONG_AGO = "2020-01-01 00:00:00"
_READY_S = 60.0

STAYS, GOES, EITHER = "stays", "goes", "either"
"""What has to become of a task. EITHER: nobody was told."""


@dataclass
class Task:
    """``fate`` is what its creation, its users and the answers they got make of it. ``at``: since when it is so."""

    before: Before
    kind: str
    fate: str
    at: float = field(default_factory=time.monotonic)

    def turn(self, fate: str) -> None:
        self.fate, self.at = fate, time.monotonic()


class World:
    """A storage root, a database, and a daemon that may be killed and started again at the same address."""

    def __init__(self, name: str, folder: Path, url: str, seed: int, *, cold: bool) -> None:
        self.name = name
        self.port = _free_port()
        self.site = Installation(folder / name, url, policies(0), port=self.port)
        self.site.init()
        self.store = Store(url)
        self.root = self.site.root
        self.chance = Random(seed)
        self.tasks: dict[str, Task] = {}
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []
        self.used: set[str] = set()
        self.lock = threading.Lock()
        self.files = threading.Lock()
        """Held while the policy files are not what a daemon could start with."""
        self.up = threading.Event()
        self.daemon: Daemon | None = None
        self._cold = cold
        self._life = ExitStack()
        self._made = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """A new daemon; returns when it does its work."""
        with self.files:
            self.daemon = self._life.enter_context(self.site.daemon(ready=False, cold=self._cold))
        end = time.monotonic() + _READY_S
        while time.monotonic() < end:
            if self.daemon.process.poll() is not None:
                self.differ(f"the daemon ended by itself with {self.daemon.process.poll()}")
                return
            try:
                if requests.get(f"{self.address}/readyz", timeout=5).status_code == 200:
                    break
            except requests.RequestException:
                pass
            time.sleep(0.05)
        self.up.set()

    def kill(self) -> None:
        """kill -9."""
        self.up.clear()
        assert self.daemon is not None
        self.daemon.kill()
        self._life.close()
        self.counts["kills"] += 1

    def stop(self) -> None:
        """SIGTERM, and its end."""
        self.up.clear()
        if self.daemon is not None and self.daemon.process.poll() is None:
            code = self.daemon.terminate()
            if code != 0:
                self.differ(f"the daemon ended with {code} on SIGTERM")
        self._life.close()

    def hang_up(self) -> None:
        """SIGHUP."""
        if self.daemon is not None and self.daemon.process.poll() is None:
            self.daemon.process.send_signal(signal.SIGHUP)

    def differ(self, what: str) -> None:
        """Something is not as it has to be."""
        with self.lock:
            self.differences.append(f"{self.name}: {what}")
        print(f"DIFFERENCE at {time.strftime('%H:%M:%S')}, {self.name}: {what}", file=sys.stderr, flush=True)

    def count(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.counts[what] += number

    def make(self, kind: str, fate: str, **columns: object) -> Task:
        """A directory and its row. Raises psycopg2.Error while the database is away; then there is neither."""
        with self.lock:
            self._made += 1
            task_id = f"{kind}_{self._made:06}"
        fill(self.root / task_id, self.chance.randrange(1, 9))
        try:
            self.store.add_task(task_id, status="completed", db_name=f"db_{self._made % 7}", **columns)
            if self._made % 3 == 0:
                self.store.add_step(task_id)
        except psycopg2.Error:  # perhaps it is there: nobody was told
            if not self._has_row(task_id):
                shutil.rmtree(self.root / task_id)
                raise
        task = Task(self._surely(lambda: remember(self.store, self.root, task_id)), kind, fate)
        with self.lock:
            self.tasks[task_id] = task
        self.count(f"created {kind}")
        return task

    def update(self, task: Task, statement: str) -> int:
        """Change the task's row as the pipeline would, unless its directory is gone; how many rows it was."""
        where = "task_id = ? AND directory_exists IS NOT FALSE RETURNING 1"
        task_id = task.before.task_id
        try:
            return len(self.store.query(f"UPDATE data_pipeline_tasks SET {statement} WHERE {where}", [task_id]))
        finally:  # an outage may have come between the change and its answer
            task.before = self._surely(lambda: self._remembered(task.before))

    def some(self, kind: str, fate: str) -> list[Task]:
        with self.lock:
            return [task for task in self.tasks.values() if task.kind == kind and task.fate == fate]

    def some_of(self, fate: str) -> list[Task]:
        with self.lock:
            return [task for task in self.tasks.values() if task.fate == fate]

    def _has_row(self, task_id: str) -> bool:
        return self._surely(lambda: self.store.task(task_id)) is not None

    def _remembered(self, before: Before) -> Before:
        """With its row as it is now, unless sweepd has changed it in between."""
        row = self.store.task(before.task_id)
        return remember_row(before, row) if row is not None and row["directory_exists"] is not False else before

    def _surely(self, ask: Callable[[], _T]) -> _T:
        """Until the database answers."""
        for _ in patiently():
            try:
                return ask()
            except psycopg2.Error:
                continue
        return ask()


def remember_row(before: Before, row: Row | None) -> Before:
    """The same task after the pipeline has changed its row."""
    return Before(before.task_id, before.tree, before.counts, row, before.steps)


def patiently(seconds: float = 60.0, pause: float = 0.2) -> Iterator[None]:
    """Again and again, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(pause)


def descriptors(pid: int) -> tuple[int, int, int]:
    """Resident kilobytes, open files and threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
