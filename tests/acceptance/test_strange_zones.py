"""A TZ that is no name of a zone ends nothing: it is read as the C library reads it, and told if it means nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.daemons import Installation

POLICIES = """
version: 1
policies:
  - name: nightly
    schedule: {cron: "0 3 * * *"}
    match: {status: completed}
    action: {delete: directory}
"""


@pytest.mark.parametrize(
    ("zone", "next_run", "told"),
    [
        ("Asia/Shanghai", "19:00:00+00:00", False),
        ("CST-8", "19:00:00+00:00", False),  # POSIX's own kind: eight hours ahead of UTC
        ("<+0530>-5:30", "21:30:00+00:00", False),
        ("Asia/Shangai", "03:00:00+00:00", True),
        ("../etc/passwd", "03:00:00+00:00", True),
        ("X-24", "03:00:00+00:00", True),
    ],
)
def test_a_daemon_starts_in_any_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, next_run: str, told: bool
) -> None:
    site = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3", POLICIES)
    site.init()
    monkeypatch.setattr("support.daemons._environment", lambda: {**os.environ, "TZ": zone, "PYTHONUNBUFFERED": "1"})
    checked = site.run("check")
    assert ("no time zone" in checked.stderr) is told
    examined = site.run("doctor", check=False)
    assert ("no time zone" in examined.stdout.replace("\n", " ")) is told
    assert site.run("hold", "task_1", "--reason", "an audit", "--until", "2999-12-31").returncode == 0
    with site.daemon() as daemon:
        scheduled = daemon.wait_for_event("policy_scheduled", policy="nightly")
        assert str(scheduled["next_run"]).endswith(next_run)
        assert bool(daemon.events("time_zone_unknown")) is told
