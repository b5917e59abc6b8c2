"""A daemon that is told to stop while it still starts begins nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from daemon.app.readiness import Readiness
from daemon.app.services import build
from daemon.app.settings import Current, Settings
from daemon.app.supervisor import Supervisor
from daemon.config import load_config
from daemon.deletion.recovery import Recovery
from support.daemons import Installation
from support.prepared import Prepared

POLICIES = """
version: 1
policies:
  - name: overdue
    mode: enforce
    schedule: {cron: "0 0 1 1 *", timezone: UTC}
    catch_up: true
    match: {status: [completed]}
    action: {delete: directory}
"""


def test_a_run_that_was_missed_is_not_lost_to_a_stop_during_recovery(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepared.sqlite(tmp_path)
    site = Installation(tmp_path / "site", store.url, POLICIES)
    site.init()
    store.add_task("task_1", status="completed", completed_at="2024-01-01 00:00:00")
    (site.root / "task_1").mkdir()
    config = load_config(site.config)
    store.query(
        "INSERT INTO sweepd_policies (name, first_seen_at, failures) "
        "VALUES ('overdue', '2020-01-01 00:00:00.000000', 0)"
    )
    recovering, stopped, swept = threading.Event(), threading.Event(), threading.Event()
    run = Recovery.run

    def slow(self: Recovery) -> Any:
        recovering.set()
        stopped.wait(10)
        return run(self)

    def start(services: Any) -> Supervisor:
        supervisor = Supervisor(
            services, Current(Settings(config, services.load_policies())), Readiness(), lambda _report: swept.set()
        )
        supervisor.start()
        return supervisor

    with build(config) as services:
        with monkeypatch.context() as patch:
            patch.setattr(Recovery, "run", slow)
            supervisor = start(services)
            assert recovering.wait(10)
            threading.Timer(0.3, stopped.set).start()
            supervisor.stop()
        assert not supervisor._scheduler._scheduler.running
        assert not swept.is_set()
    with build(config) as services:
        supervisor = start(services)
        assert swept.wait(20)
        supervisor.stop()
    assert not (site.root / "task_1").exists()
