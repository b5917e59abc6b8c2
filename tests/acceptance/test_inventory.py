"""The inventory of a real daemon, and on the command line."""

from __future__ import annotations

import json
import shutil
from datetime import datetime

import pytest

from support.daemons import Installation
from support.stores import Store
from support.trees import count, fill

OLD = {"created_at": datetime(2025, 1, 1), "updated_at": datetime(2025, 1, 1), "completed_at": datetime(2025, 1, 1)}
POLICY = """
version: 1
policies:
  - name: old
    match: {older_than: 30d}
    action: {delete: directory}
"""


def test_the_daemon_scans_at_its_start_and_shows_what_it_found(installation: Installation, store: Store) -> None:
    store.add_task("task_1", status="completed", by_user="li", **OLD)
    fill(installation.root / "task_1", 10)
    store.add_task("task_missing", status="completed", **OLD)
    fill(installation.root / "task_orphan")
    with installation.daemon() as daemon:
        said = daemon.wait_for_event("scan_finished")
        assert (said["directories"], said["measured"], said["orphans"], said["missing"]) == (2, 2, 1, 1)
        data = daemon.get("/api/v0/inventory?drift=orphans").json()["data"]
        assert [one["task_id"] for one in data["tasks"]] == ["task_orphan"]
        assert "sweepd_inventory_orphans 1.0" in daemon.get("/metrics").text
        assert daemon.terminate() == 0
    with installation.daemon() as daemon:
        said = daemon.wait_for_event("scan_finished")
        assert (said["directories"], said["measured"]) == (2, 0)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_it_does_not_scan_if_it_is_not_to(installation: Installation) -> None:
    with installation.config.open("a", encoding="utf-8") as file:
        file.write("inventory: {enabled: false}\n")
    with installation.daemon() as daemon:
        daemon.wait_for_event("ready")
        assert daemon.terminate() == 0
    assert Store(installation.url).query("SELECT * FROM sweepd_scans") == []


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_it_scans_again_and_again(installation: Installation, store: Store) -> None:
    with installation.config.open("a", encoding="utf-8") as file:
        file.write("inventory: {every: 1s}\n")
    fill(installation.root / "task_1")
    with installation.daemon() as daemon:
        daemon.wait_for_event("scan_finished", directories=1)
        shutil.rmtree(installation.root / "task_1")
        daemon.wait_for_event("scan_finished", directories=0, gone=1)
    assert store.query("SELECT * FROM sweepd_inventory") == []


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_the_command_scans_and_shows(installation: Installation, store: Store) -> None:
    store.add_task("task_1", status="completed", by_user="li", db_name="sales", **OLD)
    counts = count(fill(installation.root / "task_1", 10))
    store.add_task("task_missing", status="failed", by_user="wang", **OLD)
    fill(installation.root / "task_orphan")
    text = installation.run("inventory").stdout
    assert "no complete scan yet" in text
    shown = json.loads(installation.run("inventory", "--scan", "--json", cold=True).stdout)
    assert (shown["total"]["directories"], shown["drift"]) == (
        2,
        {"orphans": 1, "missing": 1, "returned": 0, "unnamed": 0},
    )
    assert [one["task_id"] for one in shown["orphans"]] == ["task_orphan"]
    assert [one["task_id"] for one in shown["missing"]] == ["task_missing"]
    largest = shown["largest"][0]
    assert (largest["task_id"], largest["files"], largest["size_bytes"], largest["freed_bytes"]) == (
        "task_1",
        counts[0],
        counts[2],
        counts[3],
    )
    text = installation.run("inventory", "--largest", "1").stdout
    assert "2 task directories" in text
    assert "directories without a row: 1\norphan\t" in text
    assert "rows without their directory: 1\nmissing\tstatus\tuser\ntask_missing\tfailed\twang" in text
    assert "(no row)" in text


def test_a_plan_takes_the_sizes_of_the_last_scan_and_walks_only_the_rest(
    installation: Installation, store: Store
) -> None:
    installation.write_policies(POLICY)
    for number in (1, 2):
        store.add_task(f"task_{number}", status="completed", **OLD)
    known = count(fill(installation.root / "task_1", 10))
    installation.run("inventory", "--scan")
    (installation.root / "task_1" / "part-1" / "late").write_bytes(b"x" * 100_000)  # no scan has seen it
    rest = count(fill(installation.root / "task_2", 4))
    (planned,) = json.loads(installation.run("plan", "--json").stdout)["plans"]
    sizes = {one["task_id"]: tuple(one["census"].values()) for one in planned["goes"]}
    assert sizes == {"task_1": known, "task_2": rest}
