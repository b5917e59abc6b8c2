"""A user that only has a number, as `podman run --user 54321` makes one: no passwd entry, no HOME, no USER."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from support.daemons import Installation
from support.stores import Store
from support.trees import fill

NAMELESS = 54321
POLICIES = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {all: [{task_id: {glob: "swept*"}}, {older_than: 30d}]}
    action: {trash: {retain: 7d}}
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def site() -> Iterator[Installation]:
    """In a folder that any user can reach; all of it belongs to the nameless user."""
    with pytest.raises(KeyError):
        pwd.getpwuid(NAMELESS)
    folder = Path(tempfile.mkdtemp(prefix="sweepd-nameless-"))
    made = Installation(folder, f"sqlite:///{folder}/var/sweepd.sqlite3", POLICIES)
    made.init()
    for name in ("swept_1", "swept_2", "deleted_1", "kept_1"):
        Store(made.url).add_task(name, status="completed", completed_at=datetime(2025, 1, 1))
        fill(made.root / name)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NAMELESS, 0, follow_symlinks=False)
    made.user = NAMELESS
    yield made
    shutil.rmtree(folder)


def test_every_command_that_names_who_did_it_names_the_user_id(site: Installation) -> None:
    who, initiator = f"uid {NAMELESS}", f"cli:uid {NAMELESS}"
    site.run("hold", "kept_1", "--reason", "an audit")
    [hold] = json.loads(site.run("holds", "--json").stdout)["holds"]
    assert hold["owner"] == who
    site.run("release", "kept_1")
    site.run("delete", "deleted_1", "--retain", "7d", "--yes")
    site.run("restore", "deleted_1")
    [plan] = json.loads(site.run("plan", "old", "--save", "--json").stdout)["plans"]
    report = json.loads(site.run("sweep", "old", "--plan", plan["digest"], "--json").stdout)
    assert (report["outcome"], len(report["deleted"])) == ("success", 2)
    waiting = json.loads(site.run("trash", "--json").stdout)["deletions"]
    assert {one["initiator"] for one in waiting} == {initiator}
    site.run("purge", waiting[0]["deletion_id"], "--yes")
    site.run("accept-database", "--reason", "none", "--yes")
    assert site.run("deletions").stdout.count(initiator) == 3


def test_a_daemon_runs_and_is_asked_without_a_name(site: Installation) -> None:
    with site.daemon() as daemon:
        site.run("--server", daemon.address, "hold", "kept_1", "--reason", "an audit")
        assert daemon.delete("deleted_1").status_code == 200
