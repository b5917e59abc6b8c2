"""Plans and sweeps say which of their tasks free space, and when."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.daemons import Installation
from support.stores import Store
from support.trees import fill

POLICIES = """
version: 1
policies:
  - name: waits
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {trash: {retain: 7d}}
  - name: rows
    mode: enforce
    match: {all: [{status: failed}, {older_than: 30d}]}
    action: {delete: directory_and_records}
"""


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
    made.init()
    store = Store(f"sqlite:///{made.folder}/var/sweepd.sqlite3")
    for task_id, status, there in (("kept", "completed", True), ("whole", "failed", True), ("bare", "failed", False)):
        store.add_task(task_id, status=status, completed_at=datetime(2025, 1, 1))
        if there:
            fill(made.root / task_id)
    return made


def test_what_goes_to_the_trash_frees_nothing_until_it_is_purged(site: Installation) -> None:
    said = "the sweep itself frees nothing: what goes waits 7d in the trash, and its space comes when that is purged, "
    assert said in site.run("plan", "waits").stdout
    [plan] = json.loads(site.run("plan", "waits", "--json").stdout)["plans"]
    waits = datetime.fromisoformat(plan["space_at"]) - datetime.fromisoformat(plan["now"])
    assert (round(waits.total_seconds() / 86400), plan["space_at"][-1]) == (7, "Z")
    assert (
        "1 of them wait in the trash: their space comes when they are purged, from "
        in site.run("sweep", "waits").stdout
    )


def test_what_has_no_directory_is_told_apart(site: Installation) -> None:
    assert "1 of those that go have no directory: they free no disk space" in site.run("plan", "rows").stdout
    [plan] = json.loads(site.run("plan", "rows", "--json").stdout)["plans"]
    assert (plan["without_directory"], plan["space_at"]) == (1, None)
    said = site.run("sweep", "rows").stdout
    assert "deleted 2 of 2 selected tasks, of which 1 had a directory: 3 files" in said


def test_a_plan_says_first_how_full_the_file_system_is(site: Installation) -> None:
    first = site.run("plan").stdout.splitlines()[0]
    assert first.startswith(f"the file system of {site.root} is ")
    assert "free of" in first
    space = json.loads(site.run("plan", "--json").stdout)["filesystem"]
    assert 0 < space["used_bytes"] <= space["total_bytes"]


QUOTA = """
version: 1
policies:
  - name: full
    mode: {mode}
    match: {{status: completed}}
    quota: {{of: {of}, high: {high}, low: {low}}}
    {limits}
    action: {{delete: directory}}
"""


def plan_with_quota(site: Installation, **options: str) -> tuple[str, dict[str, Any]]:
    site.write_policies(QUOTA.format(**{"mode": "enforce", "limits": "", **options}))
    [plan] = json.loads(site.run("plan", "full", "--json").stdout)["plans"]
    return site.run("plan", "full").stdout, plan["quota"]


@pytest.fixture
def users(site: Installation) -> Installation:
    """Li has four directories of 8192 bytes, Wang has one, and two others are there."""
    store = Store(f"sqlite:///{site.folder}/var/sweepd.sqlite3")
    for number, user in enumerate(("li", "li", "li", "li", "wang")):
        store.add_task(f"of_{number}", status="completed", by_user=user, completed_at=datetime(2025, 1, number + 1))
        (site.root / f"of_{number}").mkdir()
        (site.root / f"of_{number}" / "file").write_bytes(b"x" * 8192)
    site.run("inventory", "--scan")
    return site


def test_a_plan_says_how_full_what_its_quota_measures_is_and_that_nothing_goes_below_the_mark(
    users: Installation,
) -> None:
    said, found = plan_with_quota(users, of="filesystem", high="100%", low="99%")
    assert re.search(r"quota: the file system has in use \S+ \S+, \d+% of the file system", said)
    assert re.search(r"a sweep now would do nothing: \d+% is below the high mark 100%", said)
    assert (found["would_delete"], found["held_back"], len(found["readings"])) == (0, [], 1)
    said, found = plan_with_quota(users, of="user", high="1GB", low="500MB")
    assert "quota: user li takes 32.8 KB\na sweep now would do nothing: 32.8 KB is below the high mark 1GB" in said
    assert [(one["group"], one["used"]) for one in found["readings"]] == [("li", 4 * 8192)]


@pytest.mark.parametrize("of", ["user", "root"])
def test_a_plan_says_how_many_a_sweep_would_delete_now_as_the_sweep_then_does(users: Installation, of: str) -> None:
    high, low = ("20KB", "17KB") if of == "user" else ("33KB", "30KB")
    said, found = plan_with_quota(users, of=of, high=high, low=low)
    number = found["would_delete"]
    assert number > 0
    assert f"a sweep now would delete about {number} of these, until {low}" in said
    assert json.loads(users.run("sweep", "full", "--json").stdout)["deleted_count"] == number


def test_a_plan_says_what_keeps_a_sweep_of_a_quota_from_deleting(users: Installation) -> None:
    said, found = plan_with_quota(users, of="user", high="20KB", low="17KB", mode="observe")
    assert "a sweep now would do nothing, since the mode is observe; in mode enforce it would delete about 2" in said
    said, found = plan_with_quota(users, of="user", high="20KB", low="17KB", limits="limits: {max_tasks: 1}")
    assert "2 tasks are selected, limits.max_tasks is 1: a sweep now would delete nothing" in said
    assert found["held_back"] == ["2 tasks are selected, limits.max_tasks is 1"]
    limits = "limits: {max_tasks: 1, on_exceed: truncate}"
    said, found = plan_with_quota(users, of="user", high="20KB", low="17KB", limits=limits)
    assert "limits.max_tasks is 1: a sweep now would end after the first 1" in said


def test_a_plan_of_a_quota_counts_on_the_trash_first(users: Installation) -> None:
    users.run("delete", "--yes", "--retain", "7d", "of_0", "of_1")
    users.run("inventory", "--scan")
    said, _ = plan_with_quota(users, of="user", high="20KB", low="17KB")
    assert "quota: user li takes 32.8 KB; the trash holds 16.4 KB of it" in said
    assert "a sweep now would purge the trash first, then delete none of these, until 17KB" in said


def test_a_running_daemon_tells_it_too(users: Installation) -> None:
    users.write_policies(QUOTA.format(mode="observe", limits="", of="user", high="20KB", low="17KB"))
    with users.daemon() as daemon:
        quota = daemon.get("/api/v0/policies/full/plan").json()["data"]["quota"]
        assert (quota["of"], quota["high"], quota["low"]) == ("user", "20KB", "17KB")
        assert [(one["group"], one["used"], one["low"]) for one in quota["readings"]] == [("li", 4 * 8192, 17_000)]
        assert daemon.get("/api/v0/policies/full/plan?at=2099-01-01").json()["data"]["quota"] is None
        said = users.run("--server", daemon.address, "plan", "full").stdout
    assert "quota: user li takes 32.8 KB" in said
    assert "a sweep in mode enforce would now purge the trash and delete the first of these, until 17KB" in said


def test_a_running_daemon_tells_apart_what_had_no_directory(site: Installation) -> None:
    with site.daemon() as daemon:
        said = site.run("--server", daemon.address, "sweep", "rows").stdout
        assert "deleted 2 of 2 selected tasks, of which 1 had a directory: 3 files" in said
        [report] = daemon.get("/api/v0/sweeps?policy=rows").json()["data"]["sweeps"]
        found = daemon.get(f"/api/v0/sweeps/{report['sweep_id']}").json()["data"]["report"]
    assert (found["deleted_count"], found["directories_deleted"]) == (2, 1)
