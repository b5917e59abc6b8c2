"""What recovery does with each thing it can find in the trash."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from daemon.deletion.acceptance import accept
from daemon.deletion.models import What
from daemon.errors import CatalogNotReady, RootUnavailable
from support.auditor import DELETED, KEPT, Before, audit
from support.processes import ForkServer
from support.site import Site, request
from support.trees import fill, snapshot

WHATS = [What.DIRECTORY, What.DIRECTORY_AND_RECORDS]


def killed(
    site: Site,
    processes: ForkServer,
    before: str,
    number: int = 1,
    what: What = What.DIRECTORY,
    task_id: str = "task_1",
) -> Path:
    """Kill a deletion before its so-manyth step of that name; the entry of the trash it leaves."""
    ended = processes.run(
        "support.crash:delete",
        url=site.store.url,
        root=str(site.path),
        task_id=task_id,
        what=what,
        step=number,
        only=before,
        force=True,
    )
    assert ended.killed_by is not None, f"it was never killed: {ended.value}"
    (entry,) = site.entries()
    return entry


def recovered(site: Site) -> dict[str, int]:
    return {str(result): count for result, count in site.recovery.run().items()}


def test_nothing_in_the_trash_is_nothing_to_do(site: Site) -> None:
    before = site.task("task_1")
    assert recovered(site) == {}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_an_entry_without_manifest_and_data_is_removed(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "flock")
    assert os.listdir(entry) == []
    assert recovered(site) == {"leftover": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_a_half_written_manifest_is_removed(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "fsync", 2)  # the first is that of the new trash
    (entry / "manifest.json").write_text((entry / "manifest.json").read_text()[:100])
    assert recovered(site) == {"leftover": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_a_claim_that_moved_nothing_is_aborted(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "rename_noreplace")
    assert site.contents(entry) == ["manifest.json"]
    assert recovered(site) == {"leftover": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


@pytest.mark.parametrize("what", WHATS)
def test_data_of_a_deletion_that_was_not_committed_goes_back(site: Site, processes: ForkServer, what: What) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "do_commit", what=what)
    assert site.contents(entry) == ["data", "manifest.json"]
    assert not (site.path / "task_1").exists()
    assert recovered(site) == {"undone": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}
    assert [row["state"] for row in site.store.ledger("task_1")] == ["aborted"]
    site.engine.delete(request("task_1", what))
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}


def test_data_whose_name_is_taken_waits_beside_what_took_it(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "do_commit")
    fill(site.path / "task_1", 1)
    new = snapshot(site.path / "task_1")
    recovery = site.recovery
    assert dict(recovery.run()) == {"conflict": 1}
    assert dict(recovery.run()) == {"busy": 1}
    assert site.metric("sweepd_trash_blocked_entries") == 1
    assert snapshot(site.path / "task_1") == new
    assert snapshot(site.held(entry)) == before.tree
    assert site.store.task("task_1") == before.row
    shutil.rmtree(site.path / "task_1")
    assert recovered(site) == {"undone": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


@pytest.mark.parametrize("what", WHATS)
def test_a_committed_deletion_without_a_census_is_carried_out(site: Site, processes: ForkServer, what: What) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "do_rollback", what=what)  # the pool's own, after COMMIT
    assert site.contents(entry) == ["data", "manifest.json"]
    assert recovered(site) == {"finished": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}


@pytest.mark.parametrize(("files", "where"), [(12, "journal"), (300, "census")], ids=["small", "large"])
@pytest.mark.parametrize("what", WHATS)
def test_a_purge_cut_off_in_the_middle_keeps_its_first_counts(
    site: Site, processes: ForkServer, what: What, files: int, where: str
) -> None:
    """They are in the journal since the commit, or, of a large directory, in the census before the first unlink."""
    before = site.task("task_1", files=files)
    entry = killed(site, processes, "unlink", 6, what=what)
    assert ("census" in site.contents(entry)) is (where == "census")
    (journal,) = site.store.ledger("task_1")
    assert journal["files"] == (files if where == "journal" else None)
    left = sum(path.is_file() for path in site.held(entry).rglob("*"))
    assert left == files - 5
    assert recovered(site) == {"finished": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}
    assert site.metric("sweepd_deleted_files_total", trigger="api") == files


def test_a_purge_that_was_recorded_is_not_recorded_again(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1", files=3)
    entry = killed(site, processes, "unlink", 4)  # the entry's own: everything is gone and in the journal
    assert site.contents(entry) == ["manifest.json"]
    (first,) = site.store.ledger("task_1")
    assert first["state"] == "purged"
    assert recovered(site) == {"leftover": 1}
    assert site.store.ledger("task_1") == [first]
    assert site.metric("sweepd_deleted_files_total", trigger="api") == 0  # its own process counted them
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"[]", b'{"version": 2}', b"\xff"], ids=repr)
def test_data_without_a_readable_manifest_is_put_aside_whole(
    site: Site, processes: ForkServer, content: bytes | None
) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "do_commit")
    if content is None:
        (entry / "manifest.json").unlink()
    else:
        (entry / "manifest.json").write_bytes(content)
    assert recovered(site) == {"quarantined": 1}
    assert site.entries() == []
    assert snapshot(site.held(site.path / ".sweepd" / "quarantine" / entry.name)) == before.tree
    assert site.store.task("task_1") == before.row
    assert recovered(site) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": "../../etc"},
        {"task_id": ".sweepd"},
        {"task_id": 1},
        {"entry_id": "f" * 28},
        {"deletion_id": "../task_2"},
        {"deletion_id": "f"},
        {"what": "everything"},
        {"version": 1},
        {"version": 5},
        {"kind": "keep"},
        {"deletions": []},
        {"deletions": {}},
        {"purge_after": "soon"},
        {"more": 1},
        {"trigger": None},
        {"policy": 5},
        {"records_deleted": "yes"},
    ],
    ids=str,
)
def test_a_manifest_that_is_not_this_entrys_is_not_obeyed(
    site: Site, processes: ForkServer, change: dict[str, object]
) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "do_commit")
    manifest = json.loads((entry / "manifest.json").read_text())
    (item,) = manifest["deletions"]
    for name, value in change.items():
        (manifest if name in manifest else item["deletion"])[name] = value
    (entry / "manifest.json").write_text(json.dumps(manifest))
    assert recovered(site) == {"quarantined": 1}
    assert snapshot(site.held(site.path / ".sweepd" / "quarantine" / entry.name)) == before.tree
    assert site.store.ledger("task_1") == []


def test_what_recovery_writes_says_why_and_from_where(site: Site, processes: ForkServer) -> None:
    site.task("task_1")
    entry = killed(site, processes, "do_commit")
    assert recovered(site) == {"undone": 1}
    site.task("task_2", files=300)
    killed(site, processes, "unlink", number=6, task_id="task_2")  # its purge has begun
    site.store.query("DELETE FROM sweepd_deletions WHERE task_id = 'task_2'")  # put back from a backup
    assert accept(site.root, site.tools, reason="test", by="test") is not None
    assert recovered(site) == {"finished": 1}
    assert not entry.exists()
    (undone,), (finished,) = site.store.ledger("task_1"), site.store.ledger("task_2")
    assert (undone["state"], finished["state"]) == ("aborted", "purged")
    for row in (undone, finished):
        assert (row["reason"], row["client"], row["request_id"]) == ("a crash", "10.1.2.3", "9f")


def test_a_manifest_of_the_version_before_is_obeyed(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "do_commit")
    manifest = json.loads((entry / "manifest.json").read_text())
    (item,) = manifest["deletions"]
    for name in ("client", "request_id", "plan_digest", "reason"):
        del item["deletion"][name]
    (entry / "manifest.json").write_text(json.dumps({**manifest, "version": 2}))
    assert recovered(site) == {"undone": 1}
    assert snapshot(site.path / "task_1") == before.tree
    assert [row["state"] for row in site.store.ledger("task_1")] == ["aborted"]


def test_a_manifest_of_another_root_is_not_obeyed(site: Site, processes: ForkServer) -> None:
    """Somebody has copied a trash from another root into this one."""
    before = site.task("task_1")
    entry = killed(site, processes, "do_commit")
    manifest = json.loads((entry / "manifest.json").read_text())
    (entry / "manifest.json").write_text(json.dumps({**manifest, "root_id": "another"}))
    assert recovered(site) == {"quarantined": 1}
    assert snapshot(site.held(site.path / ".sweepd" / "quarantine" / entry.name)) == before.tree


def test_a_damaged_census_blocks_its_entry_and_no_other(site: Site, processes: ForkServer) -> None:
    first, second = site.task("task_1", files=300), site.task("task_2")
    entry = killed(site, processes, "unlink", 6)
    (census,) = entry.glob("*.census")
    census.write_text("{")
    with pytest.raises(AssertionError, match="one entry"):
        killed_second(site, processes)
    assert recovered(site) == {"blocked": 1, "finished": 1}
    assert site.entries() == [entry]
    assert census.read_text() == "{"
    counts = dict(zip(("files", "directories", "size_bytes", "freed_bytes"), first.counts, strict=True))
    census.write_text(json.dumps(counts))
    assert recovered(site) == {"finished": 1}
    assert audit(site.store, site.path, [first, second]) == {"task_1": DELETED, "task_2": DELETED}


def killed_second(site: Site, processes: ForkServer) -> None:
    try:
        killed(site, processes, "do_rollback", task_id="task_2")
    except ValueError:
        raise AssertionError("more than one entry") from None


@pytest.mark.parametrize("name", ["file", "link", "foreign"])
def test_what_does_not_belong_into_the_trash_is_not_removed(site: Site, tmp_path: Path, name: str) -> None:
    site.task("task_0")
    site.engine.delete(request("task_0"))
    outside = fill(tmp_path / "outside")
    tree = snapshot(outside)
    place = site.trash / name
    if name == "file":
        place.write_text("data")
    elif name == "link":
        place.symlink_to(outside)
    else:
        fill(place)
    result = recovered(site)
    assert snapshot(outside) == tree
    if name == "foreign":
        assert result == {"quarantined": 1}
        assert (site.path / ".sweepd" / "quarantine" / name / "file-0.json").exists()
    else:
        assert result == {"busy": 1}
        assert os.path.lexists(place)


def test_every_entry_is_settled_whatever_the_others_are(site: Site, processes: ForkServer) -> None:
    steps = ["flock", "fsync", "rename_noreplace", "do_commit", "do_rollback", "unlink"]
    tasks = [site.task(f"task_{step}") for step in steps]
    for step in steps:
        processes.run(
            "support.crash:delete",
            url=site.store.url,
            root=str(site.path),
            task_id=f"task_{step}",
            what=What.DIRECTORY,
            step=1,
            only=step,
        )
    assert len(site.entries()) == 6
    assert recovered(site) == {"leftover": 3, "undone": 1, "finished": 2}
    fates = audit(site.store, site.path, tasks)
    assert [fates[f"task_{step}"] for step in steps] == [KEPT] * 4 + [DELETED] * 2
    assert site.metric("sweepd_recovered_entries_total", result="leftover") == 3


def test_an_orphan_is_recovered_like_any_other(site: Site, processes: ForkServer) -> None:
    orphans = [site.directory("manual_1"), site.directory("manual_2")]
    killed(site, processes, "do_commit", task_id="manual_1")
    assert recovered(site) == {"undone": 1}
    killed(site, processes, "do_rollback", task_id="manual_2")
    assert recovered(site) == {"finished": 1}
    assert audit(site.store, site.path, orphans) == {"manual_1": KEPT, "manual_2": DELETED}


def test_a_lost_root_or_an_unready_catalog_touches_nothing(site: Site, processes: ForkServer) -> None:
    before = site.task("task_1")
    entry = killed(site, processes, "do_commit")
    marker = site.path / ".sweepd" / "root.json"
    marker.rename(marker.with_suffix(".away"))
    with pytest.raises(RootUnavailable):
        site.recovery.run()
    marker.with_suffix(".away").rename(marker)
    version = site.store.query("SELECT version_num FROM sweepd_alembic_version")[0]["version_num"]
    site.store.query("UPDATE sweepd_alembic_version SET version_num = '9999'")
    with pytest.raises(CatalogNotReady):
        Site(site.store, site.path).recovery.run()
    assert snapshot(site.held(entry)) == before.tree
    site.store.query("UPDATE sweepd_alembic_version SET version_num = ?", [version])
    assert recovered(site) == {"undone": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_the_task_may_have_come_back_while_its_old_directory_waits(site: Site, processes: ForkServer) -> None:
    """The committed deletion is finished in the trash; the new directory of that name is another one."""
    before: Before = site.task("task_1", files=9)
    killed(site, processes, "do_rollback")
    fill(site.path / "task_1", 2)
    new = snapshot(site.path / "task_1")
    assert recovered(site) == {"finished": 1}
    assert snapshot(site.path / "task_1") == new
    (entry,) = site.store.ledger("task_1")
    assert (entry["state"], entry["files"]) == ("purged", before.counts[0])
