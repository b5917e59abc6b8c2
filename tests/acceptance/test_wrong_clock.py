"""A machine that starts with a clock 30 days ahead: nothing is deleted by it until somebody says that it is right."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import requests

from support.daemons import Installation
from support.stores import Store
from support.trees import fill

POLICIES = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {all: [{status: completed}, {older_than: 7d}]}
    action: {delete: directory}
"""


def test_a_clock_that_is_ahead_at_the_start_deletes_and_purges_nothing(
    installation: Installation, store: Store
) -> None:
    installation.write_policies(POLICIES)
    installation.module = "support.shifted_clock"
    for name in ("task_today", "task_trash"):
        store.add_task(name, status="completed", completed_at=datetime.now(UTC).replace(tzinfo=None))
        fill(installation.root / name)
    installation.run("delete", "task_trash", "--retain", "7d", "--yes")
    [waiting] = json.loads(installation.run("trash", "--json").stdout)["deletions"]
    shown = installation.folder / "clock.json"
    shown.write_text(json.dumps({"hours": 720}), encoding="utf-8")
    retained = installation.root / ".sweepd" / "retained" / waiting["deletion_id"]

    for _ in range(2):
        with installation.daemon() as daemon:
            told = daemon.wait_for_event("component_changed", component="clock")
            assert told["level"] == "error"
            assert requests.get(f"{daemon.address}/readyz", timeout=30).status_code == 503
            time.sleep(2.5)  # what is due is purged as soon as the daemon is ready
        assert (installation.root / "task_today").exists()
        assert retained.exists()
    swept = installation.run("sweep", "old", check=False)
    assert (swept.returncode, (installation.root / "task_today").exists()) == (8, True)
    assert installation.run("inventory", "--scan", check=False).returncode == 8

    if not store.sqlite:  # whose own clock says otherwise
        assert installation.run("accept-clock", "--yes", check=False).returncode == 8
        return
    with installation.daemon() as daemon:
        daemon.wait_for_event("component_changed", component="clock", level="error")
        assert json.loads(installation.run("accept-clock", "--yes", "--json").stdout)["accepted"]
        daemon.wait_for_event("component_changed", component="clock", level="info")
    installation.run("sweep", "old")
    assert not (installation.root / "task_today").exists()
