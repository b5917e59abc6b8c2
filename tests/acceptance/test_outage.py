"""The database is stopped in the middle of a sweep and of API load, and started again: the daemon bears it.

A few seconds in the suite, a full minute and more of everything with TORTURE=1.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from support.auditor import DELETED, KEPT, audit
from support.daemons import TASKS, Daemon, Installation
from support.postgres import PostgresServer
from support.site import opened
from support.stores import Store

FULL = bool(os.environ.get("TORTURE"))
OUTAGE_S = 60.0 if FULL else 4.0
SWEPT, BY_HAND, STAYING = (2000, 400, 100) if FULL else (400, 60, 20)
FILES = 4
DELETERS, READERS = (8, 4) if FULL else (3, 2)
POLICY = """
version: 1
policies:
  - name: old
    mode: enforce
    schedule: {every: 2s}
    match: {all: [{task_id: {glob: "task_swept_*"}}, {status: completed}]}
    action: {delete: directory}
"""


@dataclass
class Load:
    """Clients that go on whatever they are answered, as the API tells them to; and what they were answered."""

    address: str
    stop: threading.Event = field(default_factory=threading.Event)
    back: threading.Event = field(default_factory=threading.Event)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def delete(self, task_ids: list[str]) -> None:
        with requests.Session() as session:
            for task_id in task_ids:
                while self._ask(session, "DELETE", f"/{task_id}", json={"confirm": True}) in (409, 503):
                    time.sleep(0.05)

    def read(self) -> None:
        paths = ("?limit=10", "/task_staying_1")
        with requests.Session() as session:
            while not self.stop.is_set():
                self._ask(session, "GET", random.choice(paths))
                time.sleep(0.02)

    def _ask(self, session: requests.Session, method: str, path: str, **options: Any) -> int:
        try:
            answer = session.request(method, f"{self.address}{TASKS}{path}", timeout=120, **options)
        except requests.RequestException as error:
            self.wrong.append(f"{method} {path}: {error}")
            return 0
        self.answers[method, answer.status_code] += 1
        # What the outage cut off is not settled in the very moment it ends; until then this one task is in use.
        busy = answer.status_code == 409 and answer.json()["error_code"] == "TASK_BUSY"
        if (answer.status_code == 503 or busy) and not answer.headers.get("Retry-After", "").isdecimal():
            self.wrong.append(f"{method} {path}: {answer.status_code} without Retry-After")
        if answer.status_code not in (200, 503) and not (busy and self.back.is_set()):
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.status_code


@pytest.mark.timeout(900 if FULL else 180)
def test_nothing_is_lost_or_doubled_and_the_daemon_goes_on_by_itself(
    postgres_installation: Installation, postgres_server: PostgresServer
) -> None:
    made, store = postgres_installation, Store(postgres_installation.url)
    made.write_policies(POLICY)
    slowly = "workers: {max_files_per_second: 800}\n"
    made.config.write_text(made.config.read_text(encoding="utf-8") + slowly, encoding="utf-8")
    with opened(store, made.root) as site:
        swept, by_hand, staying = (
            [site.task(f"task_{name}_{number}", files=FILES, steps=1) for number in range(most)]
            for name, most in (("swept", SWEPT), ("hand", BY_HAND), ("staying", STAYING))
        )
    with made.daemon() as daemon:
        pid = daemon.process.pid
        load = Load(daemon.address)
        names = [task.task_id for task in by_hand]
        deleting = [threading.Thread(target=load.delete, args=(names[one::DELETERS],)) for one in range(DELETERS)]
        reading = [threading.Thread(target=load.read) for _ in range(READERS)]
        _until(lambda: _gone(made, "swept") > SWEPT // 10)
        for client in (*deleting, *reading):
            client.start()
        _until(lambda: _gone(made, "hand") >= DELETERS)
        postgres_server.stop("immediate")
        stopped = time.monotonic()
        at_stop = _gone(made, "swept"), _gone(made, "hand")
        _until(lambda: daemon.get("/readyz").status_code == 503)
        while time.monotonic() - stopped < OUTAGE_S:
            assert daemon.get("/livez").status_code == 200
            time.sleep(0.2)
        problem = daemon.get("/readyz").json()["data"]["checks"]["catalog"]["problem"]
        at_start = _gone(made, "swept"), _gone(made, "hand")
        load.back.set()
        postgres_server.start()
        started = time.monotonic()
        _until(lambda: daemon.get("/readyz").status_code == 200)
        ready_after = time.monotonic() - started
        for client in deleting:
            client.join(120)
        _until(lambda: _gone(made, "swept") == SWEPT)
        sweeps = _ended_sweeps(daemon)
        _until(lambda: _ended_sweeps(daemon)[len(sweeps) :].count("success") > 0)
        _until(lambda: not list((made.root / ".sweepd" / "trash").iterdir()), 120)
        load.stop.set()
        for client in reading:
            client.join(120)
        counted = _deleted_files(daemon)
        assert daemon.process.poll() is None
        assert daemon.process.pid == pid
        outcomes = Counter(_ended_sweeps(daemon))
        assert daemon.terminate() == 0
    print(f"outage of {OUTAGE_S:.0f} s, ready again after {ready_after:.1f} s")
    print(f"gone when it stopped {at_stop}, when it started {at_start}; answers {load.answers}; sweeps {outcomes}")
    assert load.wrong == []
    assert 0 < at_stop[0] < SWEPT, "the outage has to fall into the sweep for this test to mean anything"
    assert load.answers["DELETE", 503] > 0
    assert load.answers["GET", 503] > 0
    assert load.answers["DELETE", 200] == BY_HAND
    assert at_start[0] - at_stop[0] <= 2 * 64, "what was committed by then, and no more"
    assert "does not answer" in problem
    assert len(daemon.events("listening")) == 1
    # A COMMIT of which only the answer was lost counts in the journal, and not in this process's counter.
    assert counted <= (SWEPT + BY_HAND) * FILES
    statement = "SELECT sum(files) AS files, count(*) AS deletions FROM sweepd_deletions WHERE state = 'purged'"
    [journal] = store.query(statement)
    assert (int(journal["files"]), journal["deletions"]) == ((SWEPT + BY_HAND) * FILES, SWEPT + BY_HAND)
    fates = audit(store, made.root, [*swept, *by_hand, *staying])
    assert Counter(fates.values()) == {DELETED: SWEPT + BY_HAND, KEPT: STAYING}


def _gone(made: Installation, name: str) -> int:
    most = {"swept": SWEPT, "hand": BY_HAND}[name]
    return most - sum(entry.name.startswith(f"task_{name}_") for entry in os.scandir(made.root))


def _ended_sweeps(daemon: Daemon) -> list[str]:
    return [event["outcome"] for event in daemon.events("sweep_finished")]


def _deleted_files(daemon: Daemon) -> float:
    lines = daemon.get("/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("sweepd_deleted_files_total{"))


def _until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
