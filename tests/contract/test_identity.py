"""Which directory it is: not the one that got the inode of another, and the same one on whatever device it is now."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.deletion.models import Trigger
from daemon.storage import syscalls
from daemon.sweep.report import SweepReport
from support import scratch
from support.auditor import RETAINED, audit_task
from support.judging import policy_set
from support.processes import ForkServer
from support.scanning import make_scanner
from support.site import Site, opened, request
from support.stores import Row, Store
from support.trees import snapshot

WEEK = timedelta(days=7)


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[Site]:
    """On the disk, whose file system gives an inode again as soon as it is free."""
    with tempfile.TemporaryDirectory(prefix="sweepd-identity-", dir=scratch.on_disk() or tmp_path) as made:
        with opened(store, Path(made) / "root") as ready:
            ready.init()
            yield ready


@pytest.fixture
def looping(processes: ForkServer) -> ForkServer:
    if not processes.run("support.mounts:loops_possible").value:
        pytest.skip("this machine does not let the tests mount a file system out of a file")
    return processes


def cut_off(site: Site, processes: ForkServer) -> str:
    """Retain a task, and kill its restore the moment before its commit; the id of the deletion."""
    deletion_id = site.engine.delete(request("task_1", retain=WEEK)).deletion_id
    assert deletion_id is not None
    site.close()
    arguments = {"url": site.store.url, "root": str(site.path), "deletion_id": deletion_id, "step": 2}
    assert processes.run("support.crash:restore", **arguments).killed_by is not None, "it was never killed"
    return deletion_id


def inventory(site: Site) -> dict[str, Row]:
    return {row["task_id"]: row for row in site.store.query("SELECT * FROM sweepd_inventory")}


def scan(site: Site) -> None:
    assert make_scanner(site).scan() is not None


def make_old(site: Site) -> None:
    """As if scans had met everything for the first time long ago."""
    stamp = "2024-01-01 00:00:00" + ("" if site.store.sqlite else "+00")
    site.store.query("UPDATE sweepd_inventory SET first_seen_at = ?, orphan_since = ?", [stamp, stamp])


def replace(path: Path) -> None:
    """Put another directory in its place, with the same inode."""
    inode = path.stat().st_ino
    shutil.rmtree(path)
    aside = []
    for number in range(1000):
        path.mkdir()
        if path.stat().st_ino == inode:
            break
        aside.append(path.rename(path.with_name(f".aside-{number}")))
    else:
        pytest.skip("this file system does not give the inode again")
    for other in aside:
        other.rmdir()
    (path / "file").write_text("new")


def sweep(site: Site) -> SweepReport:
    policies = policy_set(
        {"older_than": {"age": "7d", "by": "first_seen"}},
        mode="enforce",
        source="orphans",
    )
    return site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")


def test_an_orphan_with_the_inode_of_an_old_one_is_a_new_one(site: Site) -> None:
    for number in range(4):
        site.task(f"task_{number}", steps=0)
    for name in ("orphan_1", "orphan_2"):
        site.directory(name)
    scan(site)
    scan(site)
    make_old(site)
    replace(site.path / "orphan_1")
    scan(site)
    scan(site)
    report = sweep(site)
    assert [one.task_id for one in report.deleted] == ["orphan_2"]
    assert (site.path / "orphan_1").is_dir()
    assert "2024" not in str(inventory(site)["orphan_1"]["first_seen_at"])


def test_a_row_is_as_new_as_its_directory(site: Site) -> None:
    site.task("task_1")
    scan(site)
    make_old(site)
    first = inventory(site)["task_1"]
    scan(site)
    assert inventory(site)["task_1"]["first_seen_at"] == first["first_seen_at"]
    replace(site.path / "task_1")
    scan(site)
    assert inventory(site)["task_1"]["first_seen_at"] != first["first_seen_at"]


def test_a_restore_that_was_cut_off_is_undone(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1")
    cut_off(site, processes)
    assert snapshot(site.path / "task_1") == before.tree
    assert dict(site.recovery.run()) == {"undone": 1}
    assert audit_task(site.store, site.path, before) == RETAINED


def test_what_was_put_in_the_place_of_a_restore_that_was_cut_off_stays_there(site: Site, processes: ForkServer) -> None:
    site.task("task_1")
    cut_off(site, processes)
    replace(site.path / "task_1")
    new = snapshot(site.path / "task_1")
    assert dict(site.recovery.run()) == {"conflict": 1}
    assert snapshot(site.path / "task_1") == new
    assert list(site.retained.iterdir()) == []


def test_a_restore_that_an_earlier_version_began_is_left_to_a_person(site: Site, processes: ForkServer) -> None:
    """Its manifest has the device and the inode, which prove nothing."""
    before = site.task("task_1")
    deletion_id = cut_off(site, processes)
    (entry,) = site.entries()
    manifest = json.loads((entry / "manifest.json").read_text())
    status = (site.path / "task_1").stat()
    manifest["version"], manifest["deletions"][0]["directory"] = 3, [status.st_dev, status.st_ino]
    (entry / "manifest.json").write_text(json.dumps(manifest))
    assert dict(site.recovery.run()) == {"conflict": 1}
    assert snapshot(site.path / "task_1") == before.tree
    (site.path / "task_1").rename(site.retained / deletion_id)  # as the log says
    assert {str(result): n for result, n in opened_again(site).items()} == {"undone": 1}
    assert audit_task(site.store, site.path, before) == RETAINED


def opened_again(site: Site) -> dict[Any, int]:
    with opened(site.store, site.path) as again:
        return dict(again.recovery.run())


def test_a_restore_that_was_cut_off_is_undone_on_another_device(
    looping: ForkServer, tmp_path: Path, store: Store
) -> None:
    if not store.sqlite:
        pytest.skip("a matter of the file system alone")
    said = looping.run("support.mounts:restart_within_a_restore", folder=str(tmp_path)).value
    assert said["devices"][0] != said["devices"][1]
    assert (said["results"], said["fate"]) == ({"undone": 1}, RETAINED)


@pytest.mark.parametrize("touched", [False, True], ids=["as it was", "changed since"])
def test_what_an_earlier_version_has_met_is_the_same_only_if_nothing_changed(site: Site, touched: bool) -> None:
    site.directory("orphan_1")
    path = site.path / "orphan_1"
    scan(site)
    make_old(site)
    status = path.stat()
    signature = f"{status.st_dev + 1}:{status.st_ino}:{status.st_mtime_ns}:{status.st_ctime_ns}"
    site.store.query("UPDATE sweepd_inventory SET signature = ?", [signature])
    if touched:
        (path / "new").touch()
    scan(site)
    assert ("2024" in str(inventory(site)["orphan_1"]["first_seen_at"])) is not touched
    assert inventory(site)["orphan_1"]["signature"] != signature


@pytest.mark.parametrize("signature", ["", "-", "+", "a:1", "1:2:3:4:5", "x:y:z", "..:1:2", "zz..:1:2", "1:x:3:4"])
def test_what_is_no_signature_proves_nothing(site: Site, signature: str) -> None:
    site.task("task_1", steps=0)
    site.directory("orphan_1")
    scan(site)
    scan(site)
    make_old(site)
    site.store.query("UPDATE sweepd_inventory SET signature = ?", [signature])
    assert sweep(site).deleted == []
    scan(site)
    assert "2024" not in str(inventory(site)["orphan_1"]["first_seen_at"])


def test_without_anything_that_proves_it_only_what_nobody_touched_is_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "_statx", None)
    monkeypatch.setattr(syscalls, "_name_to_handle_at", None)
    for name in ("orphan_1", "orphan_2"):
        site.directory(name)
    scan(site)
    make_old(site)
    os.chmod(site.path / "orphan_2", 0o700)
    scan(site)
    scan(site)
    assert "2024" in str(inventory(site)["orphan_1"]["first_seen_at"])
    assert "2024" not in str(inventory(site)["orphan_2"]["first_seen_at"])
