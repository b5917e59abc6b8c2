"""A database that was put back from a backup: noticed, nothing is deleted by it, and a person may accept it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog import jobs, ledger
from daemon.deletion import claim
from daemon.deletion.acceptance import accept
from daemon.deletion.models import Trigger
from daemon.errors import CatalogRolledBack, ErrorCode, SweepRefused
from support.auditor import DELETED, KEPT, RETAINED, audit, audit_task
from support.inventories import scan
from support.judging import policy_set
from support.processes import ForkServer
from support.site import Site, opened, request
from support.stores import Store
from support.trees import fill, snapshot

_TABLES = ("deletions", "snapshots", "sweeps", "scans", "holds")
DAY = timedelta(days=1)


@contextmanager
def put_back(site: Site) -> Iterator[Site]:
    """The installation as a process finds it whose database lost everything but the pipeline's rows as they are."""
    for table in _TABLES:
        site.store.query(f"DELETE FROM sweepd_{table}")
    with opened(site.store, site.path) as again:
        yield again


def test_nothing_is_deleted_purged_restored_or_recovered(site: Site, processes: ForkServer) -> None:
    site.task("task_gone")
    old, kept, cut_off = site.task("task_old"), site.task("task_kept"), site.task("task_cut_off")
    site.engine.delete(request("task_old", retain=DAY))
    (journal,) = site.store.ledger("task_old")
    site.engine.delete(request("task_gone"))
    ended = processes.run(
        "support.crash:delete",
        url=site.store.url,
        root=str(site.path),
        task_id="task_cut_off",
        what="directory",
        step=1,
        only="do_commit",
        force=True,
    )
    assert ended.killed_by is not None
    site.store.query("DELETE FROM sweepd_deletions WHERE task_id = 'task_gone'")
    before = [path.name for path in site.entries()]
    with opened(site.store, site.path) as again:
        with pytest.raises(CatalogRolledBack, match="accept-database"):
            again.engine.delete(request("task_kept", force=True))
        results = again.engine.delete_group([request("task_kept"), request("task_nothing")])
        with pytest.raises(CatalogRolledBack):
            again.retention.purge_oldest(lambda: True)
        with pytest.raises(CatalogRolledBack):
            again.recovery.run()
        with pytest.raises(CatalogRolledBack):
            again.restorer.restore(journal["deletion_id"], "test")
        with pytest.raises(SweepRefused) as refused:
            policies = policy_set({"status": "completed"}, mode="enforce")
            again.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
        assert again.metric("sweepd_catalog_rolled_back") == 1
        refusals = {"policy": "policy", "error_code": "CATALOG_ROLLED_BACK"}
        assert again.metric("sweepd_sweeps_refused_total", **refusals) == 1
    assert [getattr(result, "code", None) for result in results] == [ErrorCode.CATALOG_ROLLED_BACK] * 2
    assert refused.value.code is ErrorCode.CATALOG_ROLLED_BACK
    assert audit_task(site.store, site.path, kept) == KEPT
    assert audit_task(site.store, site.path, old) == RETAINED
    assert [path.name for path in site.entries()] == before, "what was cut off is not undone"
    assert snapshot(site.held(site.entries()[0])) == cut_off.tree


def test_what_waits_is_not_purged_when_it_is_due(site: Site) -> None:
    waits = site.task("task_waits")
    site.engine.delete(request("task_waits", retain=timedelta(0)))
    site.task("task_gone")
    site.engine.delete(request("task_gone"))
    site.store.query("DELETE FROM sweepd_deletions WHERE task_id = 'task_gone'")
    with opened(site.store, site.path) as again, pytest.raises(CatalogRolledBack):
        again.retention.purge_expired()
    assert audit_task(site.store, site.path, waits) == RETAINED


@pytest.mark.parametrize("kind", ["scan", "sweep", "hold"])
def test_it_is_noticed_where_nothing_was_deleted_since_the_backup(site: Site, kind: str) -> None:
    kept = site.task("task_kept")
    scan(site, directories=1, orphans=0)
    site.hold("task_other")
    policies = policy_set({"status": "failed"}, mode="enforce")
    site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
    with site.root.open() as root:
        site.tools.continuity.advance(root)
    site.store.query(f"DELETE FROM sweepd_{kind}s")
    with opened(site.store, site.path) as again:
        with pytest.raises(CatalogRolledBack, match=kind):
            again.engine.delete(request("task_kept"))
    assert audit(site.store, site.path, [kept]) == {"task_kept": KEPT}


@pytest.mark.parametrize("where", ["retained", "purge"])
def test_the_folders_prove_it_when_a_power_cut_has_taken_the_marks(
    site: Site, processes: ForkServer, where: str
) -> None:
    site.task("task_1", files=300)
    if where == "retained":
        site.engine.delete(request("task_1", retain=DAY))
    else:
        _cut_off_purge(site, processes, "task_1")
    (site.path / ".sweepd" / "marks").write_bytes(b"\0" * 29)
    with site.root.open() as root:
        site.tools.continuity.check(root)
    said = "retained" if where == "retained" else "trash"
    with put_back(site) as again, pytest.raises(CatalogRolledBack, match=said):
        again.recovery.run()


def test_the_right_database_makes_it_go_on_by_itself(site: Site) -> None:
    site.task("task_1")
    site.engine.delete(request("task_1"))
    kept = site.task("task_2")
    (entry,) = site.store.ledger("task_1")
    columns, marks = ", ".join(entry), ", ".join("?" for _ in entry)
    site.store.query("DELETE FROM sweepd_deletions")
    with opened(site.store, site.path) as again:
        with pytest.raises(CatalogRolledBack):
            again.engine.delete(request("task_2"))
        assert audit_task(site.store, site.path, kept) == KEPT
        site.store.query(f"INSERT INTO sweepd_deletions ({columns}) VALUES ({marks})", list(entry.values()))
        with pytest.raises(CatalogRolledBack):
            again.engine.delete(request("task_2"))  # it is the watch that looks again
        with again.root.open() as root:
            again.tools.continuity.check(root, thoroughly=False)
        again.engine.delete(request("task_2"))
        assert again.metric("sweepd_catalog_rolled_back") == 0


def test_a_person_accepts_it(site: Site, processes: ForkServer) -> None:
    """What is being purged goes on, what waits is put aside, what was moved comes back; jobs do not begin again."""
    purged, moved = site.task("task_purged", files=300), site.task("task_moved")
    waits, remade = site.task("task_waits"), site.task("task_remade", files=300)
    site.engine.delete(request("task_waits", retain=DAY))
    _cut_off_purge(site, processes, "task_purged")
    _cut_off_purge(site, processes, "task_remade")
    fill(site.path / "task_remade", 1)
    site.store.query("UPDATE data_pipeline_tasks SET directory_exists = NULL, updated_at = NULL")
    with site.catalog.write() as session:
        _add_job(session.connection)
    ended = processes.run(
        "support.crash:delete",
        url=site.store.url,
        root=str(site.path),
        task_id="task_moved",
        what="directory",
        step=1,
        only="do_commit",
        force=True,
    )
    assert ended.killed_by is not None
    with put_back(site) as again:
        done = accept(again.root, again.tools, reason="the only backup there is", by="alice")
        assert done is not None
        assert (len(done.unknown.purges), len(done.unknown.retained), done.jobs) == (2, 1, 1)
        assert accept(again.root, again.tools, reason="again", by="alice") is None
        results = {str(result): count for result, count in again.recovery.run().items()}
        assert results == {"finished": 2, "undone": 1}
        again.engine.delete(request("task_moved"))
        (job,) = site.store.query("SELECT cancelled_by FROM sweepd_jobs")
    assert job["cancelled_by"] == "alice"
    assert done.quarantined is not None
    (aside,) = (site.path / ".sweepd" / "quarantine" / done.quarantined).iterdir()
    assert snapshot(aside) == waits.tree
    aside.parent.rename(site.path.parent / "aside")
    assert audit_task(site.store, site.path, purged) == DELETED
    assert audit_task(site.store, site.path, moved) == DELETED
    row = site.store.task("task_remade")
    assert row is not None
    assert row["directory_exists"] is None, "the row speaks of the directory that was made again"
    assert remade.tree is not None
    assert (site.path / "task_remade").exists()
    assert "the only backup" in (site.path / ".sweepd" / "accepted.json").read_text(encoding="utf-8")


def test_there_is_nothing_to_accept_of_a_database_that_knows_everything(site: Site) -> None:
    site.task("task_1")
    site.engine.delete(request("task_1"))
    assert accept(site.root, site.tools, reason="to be sure", by="alice") is None


def test_what_happens_every_day_raises_no_alarm(
    site: Site, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undone deletions, restores, deletions of another machine, forgotten jobs, marks that cannot be written."""
    tasks = [site.task(f"task_{number}") for number in range(4)]
    with site.catalog.write() as session:
        _add_job(session.connection)
    with opened(store, tmp_path / "root") as other:
        other.engine.delete(request("task_0", retain=DAY))
        site.restorer.restore_task("task_0", "test")
        with monkeypatch.context() as patched:
            patched.setattr(ledger, "insert", _fails)
            with pytest.raises(OSError, match="no commit"):
                raise_what(other, "task_1")
        assert other.engine.delete(request("task_2")).directory_deleted
        mark = tmp_path / "root" / ".sweepd" / "marks"
        mark.unlink()
        mark.mkdir()
        assert site.engine.delete(request("task_3")).directory_deleted, "a deletion is as good without its mark"
        mark.rmdir()
        site.store.query("DELETE FROM sweepd_jobs")
        for one in (site, other):
            one.recovery.run()
            with one.root.open() as root:
                one.tools.continuity.advance(root)
                one.tools.continuity.check(root)
    fates = audit(store, site.path, tasks)
    assert list(fates.values()) == [KEPT, KEPT, DELETED, DELETED]


def raise_what(site: Site, task_id: str) -> None:
    """Delete it below the engine, which would explain the error away."""
    with ExitStack() as stack, site.root.open() as root:
        claim.Claim(site.catalog, site.tools.continuity, root, [request(task_id)], stack).run()


def _fails(*_arguments: object) -> None:
    raise OSError("no commit")


def _cut_off_purge(site: Site, processes: ForkServer, task_id: str) -> None:
    ended = processes.run(
        "support.crash:delete",
        url=site.store.url,
        root=str(site.path),
        task_id=task_id,
        what="directory",
        step=6,
        only="unlink",
        force=True,
    )
    assert ended.killed_by is not None


def _add_job(connection: Any) -> None:
    made = jobs.Job(
        job_id="0" * 28,
        kind="batch",
        initiator="test",
        delete_database_records=False,
        force=False,
        retain_seconds=None,
        continue_on_error=True,
        tasks_total=1,
        created_at=datetime.now(UTC),
    )
    jobs.add(connection, made, ["task_9"])
