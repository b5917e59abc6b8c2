"""Readers who ask for everything at once keep nobody from working, and take no more memory than one of them."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from support.daemons import Daemon, Installation

ROWS = 20_000
POLICIES = """
version: 1
policies:
  - name: old
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {delete: directory}
"""
PLAN = "/api/v0/policies/old/plan"


@pytest.fixture
def large(tmp_path: Path) -> Installation:
    """On SQLite, with many rows that would all go, and none of their directories."""
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3", POLICIES)
    made.init()
    with sqlite3.connect(tmp_path / "site" / "var" / "sweepd.sqlite3") as database:
        database.executemany(
            "INSERT INTO data_pipeline_tasks (task_id, status, parameters, directory_exists, created_at, completed_at)"
            " VALUES (?, 'completed', '{}', 1, '2024-01-01 00:00:00', '2024-01-01 00:00:00')",
            ((f"task_{number:07}",) for number in range(ROWS)),
        )
    database.close()
    return made


def hold(daemon: Daemon) -> float:
    began = time.monotonic()
    body = {"task_id": "task_0000001", "reason": "an audit"}
    answer = requests.post(f"{daemon.address}/api/v0/holds", json=body, timeout=120)
    assert answer.status_code == 201
    return time.monotonic() - began


def test_eight_plans_at_once_keep_no_hold_waiting_and_take_the_memory_of_one(large: Installation) -> None:
    with large.daemon() as daemon:
        hold(daemon)
        before = daemon.memory().own_mb
        taken: list[float] = []
        statuses: list[int] = []

        def plan() -> None:
            began = time.monotonic()
            statuses.append(requests.get(f"{daemon.address}{PLAN}", timeout=120).status_code)
            taken.append(time.monotonic() - began)

        asking = [threading.Thread(target=plan) for _ in range(8)]
        for one in asking:
            one.start()
        time.sleep(0.3)
        peak, holding = before, [hold(daemon) for _ in range(3)]
        while any(one.is_alive() for one in asking):
            peak = max(peak, daemon.memory().own_mb)
            time.sleep(0.05)
        assert statuses == [200] * 8
        assert max(holding) < max(taken) / 2, "not behind them"
        assert peak - before < 60, "not one of the tasks for each plan"


def test_the_plan_of_a_client_that_has_left_is_interrupted_and_too_many_are_told_to_come_back(
    large: Installation,
) -> None:
    with large.daemon() as daemon:
        began = time.monotonic()
        requests.get(f"{daemon.address}{PLAN}", timeout=120)
        one = time.monotonic() - began
        place = urlsplit(daemon.address)
        clients = []
        for _ in range(8):
            client = socket.create_connection((place.hostname, place.port))
            client.sendall(f"GET {PLAN} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            clients.append(client)
        time.sleep(0.3)
        refused = requests.get(f"{daemon.address}{PLAN}", timeout=120)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        for client in clients:
            client.close()
        began = time.monotonic()
        while requests.get(f"{daemon.address}{PLAN}", timeout=120).status_code == 429:
            time.sleep(0.05)
        assert time.monotonic() - began < 5 * one + 1, "the eight have left"
