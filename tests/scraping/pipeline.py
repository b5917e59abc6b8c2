"""A site where everything happens at once that the metrics tell of: the load of ``make monitoring``."""

from __future__ import annotations

import contextlib
import itertools
import threading
from pathlib import Path

import requests
import yaml

from daemon.client import Client
from daemon.client.errors import Conflict
from daemon.storage.locks import exclusive
from daemon.storage.root import StorageRoot, read_identity
from support.daemons import TASKS, Installation
from support.receiver import SECRET
from support.stores import Store
from support.trees import fill

POLICIES = """
version: 1
protect:
  - {name: golden, match: {task_id: {glob: "golden_*"}}}
policies:
  - name: old
    mode: enforce
    schedule: {every: 2s}
    match: {task_id: {glob: ["sweep_*", "golden_*"]}, older_than: 30d}
    action: {delete: directory}
  - name: to-the-trash
    mode: enforce
    schedule: {every: 3s}
    match: {task_id: {glob: "trash_*"}, older_than: 30d}
    action: {trash: {retain: 5s}}
  - name: finds-nothing
    mode: enforce
    schedule: {every: 2s}
    match: {task_id: {glob: "nobody_*"}}
    action: {delete: directory}
  - name: too-much
    mode: enforce
    schedule: {every: 3s}
    match: {task_id: {glob: "many_*"}}
    limits: {max_tasks: 2}
    action: {delete: directory}
  - name: space
    mode: enforce
    schedule: {every: 3s}
    match: {task_id: {glob: "many_*"}, status: [running]}
    quota: {of: root, high: 20KB, low: 10KB}
    action: {delete: directory}
  - name: swept-elsewhere
    mode: enforce
    schedule: {every: 2s}
    match: {task_id: {glob: "elsewhere_*"}}
    action: {delete: directory}
  - name: never
    mode: disabled
    match: {task_id: {glob: "never_*"}}
    action: {delete: directory}
"""
_NOBODY = "http://127.0.0.1:1/"
_LONG_AGO = "2020-01-01 00:00:00"
_BALLAST = b"\0" * 2**21


class Pipeline:
    """Makes tasks, and asks for some to be deleted; a thread of its own until ``stop``."""

    def __init__(self, folder: Path, url: str) -> None:
        self.site = Installation(folder, url, POLICIES)
        sections = {
            "inventory": {"every": "2s"},
            "audit": {"file": str(folder / "audit.jsonl")},
            # nobody takes what it is told
            "notifications": {"window": "1s", "webhooks": [{"name": "ops", "url": _NOBODY, "secret": SECRET}]},
        }
        with self.site.config.open("a", encoding="utf-8") as config:
            config.write(yaml.safe_dump(sections))
        self.site.init()
        self._store = Store(url)
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._address = ""
        self.failed: Exception | None = None
        for _ in range(5):
            self._task("many", status="completed")
        self._task("golden")
        fill(self.site.root / "manual_20250101_000000", 2)  # an orphan

    def start(self, address: str) -> None:
        """Begin to ask the daemon at this address."""
        self._address = address
        self._thread.start()

    def stop(self) -> None:
        """No more; raises what went wrong, if something did."""
        self._stop.set()
        self._thread.join()
        if self.failed is not None:
            raise self.failed

    def _work(self) -> None:
        try:
            root = StorageRoot(self.site.root, lambda: read_identity(self.site.root) or "")
            with Client(self._address) as client, exclusive(root, "sweep.swept-elsewhere"):
                while not self._stop.wait(0.3):
                    self._step(client)
        except Exception as error:
            self.failed = error

    def _step(self, client: Client) -> None:
        with (self.site.root / "ballast.bin").open("ab") as ballast:  # the disk fills
            ballast.write(_BALLAST)
        for kind in ("sweep", "trash"):
            self._task(kind)
        client.delete(self._task("api"))
        waits = self._task("restore")
        client.delete(waits, retain="1h")
        with contextlib.suppress(Conflict):  # the quota was faster, and has purged it
            client.restore(waits)
        client.delete_many([self._task("batch"), "task_nowhere"])
        client.wait(client.delete_async([self._task("job"), self._task("job")])["job_id"], timeout=30)
        client.tasks()
        requests.get(f"{self._address}{TASKS}", headers={"Host": "evil.example.org"}, timeout=10)
        requests.get(f"{self._address}/nowhere", timeout=10)

    def _task(self, kind: str, **columns: str) -> str:
        task_id = f"{kind}_{next(self._numbers):06}"
        self._store.add_task(
            task_id, **{"status": "completed", "created_at": _LONG_AGO, "completed_at": _LONG_AGO, **columns}
        )
        fill(self.site.root / task_id, 3)
        return task_id
