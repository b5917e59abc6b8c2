"""Every way a deletion can go: what is gone afterwards, what stays, what the rows say, and what the caller is told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.catalog.catalog import Session
from daemon.catalog.rows import TaskRow
from daemon.deletion.models import Outcome, What
from daemon.errors import CatalogNotReady, ErrorCode, RootUnavailable, SweepdError, TaskRefused
from daemon.storage import moves, syscalls, trash
from daemon.storage.census import NOTHING
from daemon.storage.root import mark
from daemon.storage.trash import TrashEntry
from support.auditor import DELETED, KEPT, audit
from support.prepared import Prepared
from support.processes import ForkServer
from support.site import Site, request
from support.stores import Store, wall_time
from support.trees import fill, snapshot

WITH_DIRECTORY = [What.DIRECTORY, What.DIRECTORY_AND_RECORDS]
BAD_IDS = [
    "",
    ".",
    "..",
    "../task_1",
    "/etc",
    "a/b",
    "task_1/",
    "a\0b",
    "a\n",
    ".sweepd",
    "x" * 10_000,
    "任务",
    "\ud800",
]


def refused(site: Site, task_id: str, what: What = What.DIRECTORY, **options: object) -> TaskRefused:
    with pytest.raises(TaskRefused) as caught:
        site.engine.delete(request(task_id, what, **options))
    return caught.value


def counts(outcome: Outcome) -> tuple[int, ...]:
    return tuple(outcome.counts.to_json().values())


@pytest.mark.parametrize("what", WITH_DIRECTORY)
@pytest.mark.parametrize("status", ["completed", "failed", "pending", "partial_completed"])
def test_a_task_is_deleted_and_its_neighbour_is_not(site: Site, what: What, status: str) -> None:
    gone, stays = site.task("task_1", files=11, status=status), site.task("task_2", status=status)
    outcome = site.engine.delete(request("task_1", what))
    assert (outcome.task_id, outcome.directory_deleted, outcome.records_deleted) == ("task_1", True, what.records)
    assert counts(outcome) == gone.counts
    assert audit(site.store, site.path, [gone, stays]) == {"task_1": DELETED, "task_2": KEPT}
    (entry,) = site.store.ledger("task_1")
    expected = {"deletion_id": outcome.deletion_id, "what": what, "trigger": "api", "initiator": "api:127.0.0.1"}
    assert {name: entry[name] for name in expected} == expected
    assert (entry["forced"], entry["error"]) in ((False, None), (0, None))
    assert site.metric("sweepd_deletions_total", trigger="api", outcome="success") == 1
    assert site.metric("sweepd_deleted_files_total", trigger="api") == gone.counts[0]
    assert site.metric("sweepd_freed_bytes_total", trigger="api") == gone.counts[3]


def test_the_rows_time_is_the_answers_time_to_the_second(site: Site) -> None:
    site.task("task_1")
    with site.catalog.read() as session:
        before = session.now.local.replace(microsecond=0)
    outcome = site.engine.delete(request("task_1"))
    row = site.store.task("task_1")
    assert row is not None
    assert wall_time(row["updated_at"]) == outcome.deleted_at
    assert outcome.deleted_at.microsecond == 0
    assert timedelta() <= outcome.deleted_at - before < timedelta(seconds=10)


def test_records_take_their_steps_along(site: Site) -> None:
    site.task("task_1", steps=4)
    site.task("task_2", steps=4)
    site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS))
    assert site.store.task("task_1") is None
    assert site.store.steps("task_1") == []
    assert len(site.store.steps("task_2")) == 4


def test_what_the_journal_knows_of_a_sweep(site: Site) -> None:
    site.task("task_1")
    site.engine.delete(request("task_1", policy="old", sweep_id="5" * 28, force=True))
    (entry,) = site.store.ledger("task_1")
    assert (entry["policy"], entry["sweep_id"], bool(entry["forced"])) == ("old", "5" * 28, True)


def running_by_status(site: Site) -> str:
    site.task("task_1", status="in_progress")
    return "in_progress"


def running_by_step(site: Site) -> str:
    site.task("task_1", status="completed")
    site.store.add_step("task_1", "running")
    return "running"


@pytest.mark.parametrize("what", WITH_DIRECTORY)
@pytest.mark.parametrize("start", [running_by_status, running_by_step])
def test_a_running_task_is_deleted_only_by_force(site: Site, start: Callable[[Site], str], what: What) -> None:
    status = start(site)
    before = site.before("task_1")
    error = refused(site, "task_1", what)
    assert error.code is ErrorCode.TASK_RUNNING
    assert error.details == {"task_id": "task_1", "current_status": status}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}
    assert site.engine.delete(request("task_1", what, force=True)).directory_deleted
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}
    assert site.metric("sweepd_deletions_total", trigger="api", outcome="refused") == 1


def test_a_directory_without_a_row_is_deleted_only_by_force(site: Site) -> None:
    before = site.directory("manual_20250702_214530", files=6)
    error = refused(site, "manual_20250702_214530")
    assert (error.code, "force" in str(error)) == (ErrorCode.TASK_NOT_FOUND, True)
    assert audit(site.store, site.path, [before]) == {before.task_id: KEPT}
    outcome = site.engine.delete(request("manual_20250702_214530", What.DIRECTORY_AND_RECORDS, force=True))
    assert (outcome.directory_deleted, outcome.records_deleted, counts(outcome)) == (True, False, before.counts)
    assert audit(site.store, site.path, [before]) == {before.task_id: DELETED}


def test_neither_row_nor_directory_is_not_found(site: Site) -> None:
    for what in What:
        for force in (False, True):
            assert refused(site, "task_none", what, force=force).code is ErrorCode.TASK_NOT_FOUND
    assert site.store.ledger("task_none") == []
    assert site.entries() == []


def test_a_row_without_its_directory_is_mended_once_and_then_left(site: Site) -> None:
    site.store.add_task("task_1", status="completed")
    first = site.engine.delete(request("task_1"))
    assert (first.directory_deleted, first.records_deleted, first.census) == (False, False, NOTHING)
    row = site.store.task("task_1")
    assert row is not None
    assert row["directory_exists"] in (False, 0)
    assert wall_time(row["updated_at"]) == first.deleted_at
    again = site.engine.delete(request("task_1"))
    assert (again.directory_deleted, again.deletion_id, again.deleted_at) == (False, None, first.deleted_at)
    assert site.store.task("task_1") == row
    (entry,) = site.store.ledger("task_1")
    assert (entry["state"], entry["deletion_id"], entry["files"]) == ("purged", first.deletion_id, 0)
    assert entry["directory_deleted"] in (False, 0)
    assert site.entries() == []


@pytest.mark.parametrize("what", [What.RECORDS, What.DIRECTORY_AND_RECORDS])
def test_records_go_where_the_directory_is_gone(site: Site, what: What) -> None:
    site.task("task_1")
    site.engine.delete(request("task_1"))
    outcome = site.engine.delete(request("task_1", what))
    assert (outcome.directory_deleted, outcome.records_deleted) == (False, True)
    assert site.store.task("task_1") is None
    assert site.store.steps("task_1") == []
    assert [bool(entry["directory_deleted"]) for entry in site.store.ledger("task_1")] == [True, False]


@pytest.mark.parametrize("force", [False, True])
def test_records_alone_stay_while_the_directory_is_there(site: Site, force: bool) -> None:
    before = site.task("task_1")
    assert refused(site, "task_1", What.RECORDS, force=force).code is ErrorCode.TASK_CHANGED
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_records_of_an_orphan_are_not_found(site: Site) -> None:
    before = site.directory("manual_1")
    assert refused(site, "manual_1", What.RECORDS, force=True).code is ErrorCode.TASK_NOT_FOUND
    assert audit(site.store, site.path, [before]) == {"manual_1": KEPT}


@pytest.mark.parametrize("row", [False, True])
@pytest.mark.parametrize("kind", ["link", "dangling", "file", "fifo"])
def test_what_is_no_directory_is_refused_even_by_force(site: Site, tmp_path: Path, kind: str, row: bool) -> None:
    outside = fill(tmp_path / "outside")
    tree = snapshot(outside)
    if row:
        site.store.add_task("task_1", status="completed")
    path = site.path / "task_1"
    if kind == "file":
        path.write_text("data")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(outside if kind == "link" else "nowhere")
    before = site.store.task("task_1")
    for force in (False, True):
        assert refused(site, "task_1", force=force).code is ErrorCode.UNSAFE_DIRECTORY
    assert os.path.lexists(path)
    assert snapshot(outside) == tree
    assert site.store.task("task_1") == before
    assert site.store.ledger("task_1") == []


@pytest.mark.parametrize("force", [False, True])
def test_no_odd_id_reaches_disk_or_database(site: Site, force: bool) -> None:
    before = site.task("task_1")
    everything = snapshot(site.path)
    for task_id in BAD_IDS:
        assert refused(site, task_id, force=force).code is ErrorCode.INVALID_TASK_ID, task_id
    assert snapshot(site.path) == everything
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


@pytest.mark.parametrize("force", [False, True])
def test_a_guard_is_asked_under_the_lock_and_its_no_is_final(site: Site, force: bool) -> None:
    before = site.task("task_1", by_user="alice")
    asked: list[TaskRow] = []

    def guard(session: Session, rows: Sequence[TaskRow]) -> dict[str, str]:
        asked.extend(rows)
        assert session.tables.tasks is not None
        return {"task_1": "no longer"}

    assert refused(site, "task_1", guard=guard, force=force).code is ErrorCode.TASK_CHANGED
    assert [(row.task_id, row.by_user) for row in asked] == [("task_1", "alice")]
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_a_guard_that_breaks_leaves_everything(site: Site) -> None:
    before = site.task("task_1")

    def guard(_session: Session, _rows: Sequence[TaskRow]) -> dict[str, str]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        site.engine.delete(request("task_1", guard=guard))
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_a_guard_that_agrees_lets_it_go_and_no_guard_speaks_for_an_orphan(site: Site) -> None:
    gone, orphan = site.task("task_1"), site.directory("manual_1")
    site.engine.delete(request("task_1", guard=lambda _session, _rows: {}))
    error = refused(site, "manual_1", force=True, guard=lambda _session, _rows: {})
    assert error.code is ErrorCode.TASK_NOT_FOUND
    assert audit(site.store, site.path, [gone, orphan]) == {"task_1": DELETED, "manual_1": KEPT}


def test_a_task_that_comes_back_can_be_deleted_again(site: Site) -> None:
    first = site.task("task_1")
    site.engine.delete(request("task_1"))
    site.store.query("UPDATE data_pipeline_tasks SET directory_exists = NULL WHERE task_id = 'task_1'")
    fill(site.path / "task_1", 8)
    outcome = site.engine.delete(request("task_1"))
    assert outcome.counts.files == 8
    assert [entry["files"] for entry in site.store.ledger("task_1")] == [first.counts[0], 8]


@pytest.mark.parametrize("swap", ["directory", "link"])
def test_a_directory_swapped_at_the_last_moment_is_put_back(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: str
) -> None:
    before = site.task("task_1")
    original = syscalls.rename_noreplace

    def rename(from_fd: int, from_name: str, to_fd: int, to_name: str) -> None:
        if from_name == "task_1" and not (tmp_path / "original").exists():
            (site.path / "task_1").rename(tmp_path / "original")
            if swap == "link":
                (site.path / "task_1").symlink_to(tmp_path)
            else:
                fill(site.path / "task_1", 5)
        original(from_fd, from_name, to_fd, to_name)

    monkeypatch.setattr(moves, "rename_noreplace", rename)
    assert refused(site, "task_1").code is ErrorCode.UNSAFE_DIRECTORY
    assert site.entries() == []
    assert os.path.lexists(site.path / "task_1")
    assert snapshot(tmp_path / "original") == before.tree
    assert site.store.task("task_1") == before.row
    assert site.store.ledger("task_1") == []


def test_a_directory_taken_away_at_the_last_moment_is_reported(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.task("task_1")
    original = syscalls.rename_noreplace

    def rename(*arguments: object) -> None:
        (site.path / "task_1").rename(tmp_path / "taken")
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(moves, "rename_noreplace", rename)
    assert refused(site, "task_1").code is ErrorCode.TASK_CHANGED
    assert site.store.task("task_1") == before.row
    assert site.entries() == []


def lose_marker(site: Site) -> None:
    (site.path / ".sweepd" / "root.json").unlink()


def lose_root(site: Site) -> None:
    site.path.rename(site.path.with_name("unmounted"))
    site.path.mkdir()


def swap_root(site: Site) -> None:
    site.path.rename(site.path.with_name("unmounted"))
    mark(site.path)


@pytest.mark.parametrize("lose", [lose_marker, lose_root, swap_root])
def test_a_lost_root_makes_no_task_a_deleted_one(site: Site, lose: Callable[[Site], None]) -> None:
    before = site.task("task_1")
    lose(site)
    for what in What:
        with pytest.raises(RootUnavailable):
            site.engine.delete(request("task_1", what, force=True))
    assert site.store.task("task_1") == before.row
    assert site.store.ledger("task_1") == []


def test_a_catalog_without_a_root_deletes_nothing(site: Site) -> None:
    before = site.task("task_1")
    site.store.query("DELETE FROM sweepd_roots")
    with pytest.raises(CatalogNotReady, match="sweepd init"):
        site.engine.delete(request("task_1"))
    assert snapshot(site.path / "task_1") == before.tree


def test_a_name_taken_while_a_deletion_is_undone_loses_neither(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows cannot be changed, and meanwhile the pipeline has made the directory anew."""
    before = site.task("task_1")
    monkeypatch.setattr("daemon.catalog.ledger.insert", lambda *_: (fill(site.path / "task_1", 1), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        site.engine.delete(request("task_1"))
    monkeypatch.undo()
    (entry,) = site.entries()
    assert snapshot(site.held(entry)) == before.tree
    assert site.store.task("task_1") == before.row
    assert dict(site.recovery.run()) == {"conflict": 1}
    assert snapshot(site.held(entry)) == before.tree
    (site.path / "task_1").rename(site.path.with_name("looked at"))
    assert dict(site.recovery.run()) == {"undone": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


@pytest.mark.parametrize("at", ["mkdir", "write", "rename", "rows", "journal"])
def test_any_failure_before_the_commit_leaves_everything(site: Site, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    before = site.task("task_1")

    def full(*_args: object, **_options: object) -> None:
        raise OSError(116, "Stale file handle")

    target = {
        "mkdir": "daemon.storage.trash.os.mkdir",
        "write": "daemon.storage.durable._text",
        "rename": "daemon.storage.moves.rename_noreplace",
        "rows": "daemon.catalog.tasks.marking_directory_gone",
        "journal": "daemon.catalog.ledger.insert",
    }[at]
    site.engine.delete(request(site.task("task_0").task_id))  # the trash is there by now
    with monkeypatch.context() as patch:
        patch.setattr(target, full)
        error = refused(site, "task_1")
    assert (error.code, error.details["errno"]) == (ErrorCode.DELETION_FAILED, "ESTALE")
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}
    site.engine.delete(request("task_1"))
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}


@pytest.mark.parametrize("at", ["census", "unlink", "discard"])
def test_a_failure_after_the_commit_is_told_and_recovery_finishes(
    site: Site, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    before = site.task("task_1", files=300)

    def broken(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if at == "unlink":
            patch.setattr("daemon.storage.removal.os.unlink", broken)
        else:
            patch.setattr(trash.TrashEntry, {"census": "count"}.get(at, at), broken)
        if at == "discard":  # all of it is gone, and recorded
            assert site.engine.delete(request("task_1")).census is not None
        else:
            assert refused(site, "task_1").code is ErrorCode.DELETION_FAILED
    row = site.store.task("task_1")
    assert row is not None
    assert row["directory_exists"] in (False, 0)
    (entry,) = site.store.ledger("task_1")
    assert entry["state"] == ("purged" if at == "discard" else "committed")
    assert ("No space" in (entry["error"] or "")) is (at != "discard")
    assert dict(site.recovery.run()) == {"leftover" if at == "discard" else "finished": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}
    assert site.store.ledger("task_1")[0]["error"] is None
    assert site.metric("sweepd_deleted_files_total", trigger="api") == before.counts[0]


def test_an_interrupt_before_the_commit_undoes_and_one_after_it_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in ``sweepd delete`` may come right after the database has committed."""
    dialect = site.catalog.database.engine.dialect
    commit = dialect.do_commit
    for task_id, late in (("task_1", False), ("task_2", True)):
        before = site.task(task_id)
        site.catalog.root_id()

        def interrupted(connection: object, late: bool = late) -> None:
            if late:
                commit(connection)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(dialect, "do_commit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                site.engine.delete(request(task_id))
        site.recovery.run()
        assert audit(site.store, site.path, [before])[task_id] == (DELETED if late else KEPT)
        if not late:
            site.engine.delete(request(task_id))


def test_a_deletion_that_is_told_as_failed_counts_as_failed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.task("task_1")
    monkeypatch.setattr(
        trash.TrashEntry, "purge", lambda *_arguments: (_ for _ in ()).throw(PermissionError(13, "no", "data/x"))
    )
    with pytest.raises(SweepdError) as caught:
        site.engine.delete(request("task_1"))
    assert caught.value.code is ErrorCode.PERMISSION_DENIED
    assert site.metric("sweepd_deletions_total", trigger="api", outcome="failed") == 1
    assert site.metric("sweepd_deleted_files_total", trigger="api") == 0


@pytest.mark.parametrize("lacking", ["blocks", "inodes"])
def test_a_full_disk_stops_no_deletion_while_there_is_a_reserve(
    tmp_path: Path, prepared: Prepared, processes: ForkServer, lacking: str
) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    prepared.sqlite(tmp_path)
    said = processes.run("support.mounts:delete_with_reserve", folder=str(tmp_path), lacking=lacking).value
    assert said == {
        "kept": 16,
        "refused": ErrorCode.DELETION_FAILED,  # what only waits frees nothing, and has no share of it
        "untouched": 16,
        "left": True,
        "fates": [KEPT, DELETED, DELETED],
        "again": 16,
    }


def test_a_full_disk_without_a_reserve_has_the_directory_removed_where_it_stands(
    tmp_path: Path, prepared: Prepared, processes: ForkServer
) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    prepared.sqlite(tmp_path)
    said = processes.run("support.mounts:delete_on_full_disk", folder=str(tmp_path)).value
    assert said == {
        "retained": ErrorCode.DELETION_FAILED,
        "whole": True,
        "error": None,
        "left": [".sweepd", "filler"],
        "fate": DELETED,
        "entries": 0,
    }


@pytest.mark.parametrize("lacking", ["blocks", "inodes"])
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
@pytest.mark.costly
def test_init_and_a_sweep_from_the_command_line_delete_on_a_disk_without_anything_left(
    tmp_path: Path, store: Store, processes: ForkServer, kind: str, lacking: str
) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    if kind != "tmpfs" and (os.geteuid() != 0 or shutil.which(f"mkfs.{kind}") is None):
        pytest.skip(f"needs root and mkfs.{kind}")
    said = processes.run(
        "support.mounts:init_and_sweep_on_full_disk", folder=str(tmp_path), url=store.url, kind=kind, lacking=lacking
    ).value
    assert said["output"] == ""
    assert said == {
        "free": 0,
        "init": 0,
        "sweep": 0,
        "output": "",
        "fates": [DELETED],
        "left": [".sweepd", "fillers", "task_young"],
        "young": True,
        "marked": True,
        "unmarked": None,
        "trash": [],
        "again": 0,
        "reserve": 16,
    }


@pytest.mark.parametrize("lacking", ["blocks", "inodes"])
def test_a_sweep_from_the_command_line_makes_room_for_a_database_on_the_same_full_disk(
    tmp_path: Path, processes: ForkServer, lacking: str
) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    function = "support.mounts:sweep_beside_a_database_on_the_same_full_disk"
    said = processes.run(function, folder=str(tmp_path), lacking=lacking).value
    assert said == {"sweep": 0, "output": "", "fates": [DELETED]}


def test_what_is_to_wait_on_a_full_disk_is_no_failure_of_its_tasks_and_has_the_room_of_what_waits(
    tmp_path: Path, processes: ForkServer
) -> None:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    said = processes.run("support.mounts:sweep_into_the_trash_on_a_full_disk", folder=str(tmp_path)).value
    assert said == {
        "refused": [4],
        "told": [True] * 4,
        "failing": 0,
        "waits": 0,
        "later": 0,
        "output": "",
        "states": [["task_1", "purged"], ["task_2", "committed"]],
    }


@pytest.mark.costly
def test_a_directory_that_the_file_system_does_not_move_is_told_apart_from_a_mount_and_goes_in_place(
    tmp_path: Path, store: Store, processes: ForkServer
) -> None:
    if not processes.run("support.mounts:possible").value or os.geteuid() != 0:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    said = processes.run("support.mounts:delete_from_a_lower_layer", folder=str(tmp_path), url=store.url).value
    assert said == {
        "code": ErrorCode.UNSAFE_DIRECTORY,
        "told": True,
        "mount": False,
        "first": KEPT,
        "doctor": True,
        "looked": KEPT,
        "sweep": 0,
        "fate": DELETED,
        "in_place": [True],
    }


def test_a_row_is_not_called_gone_while_recovery_may_yet_put_its_directory_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.task("task_1")
    site.catalog.root_id()

    def interrupted(_connection: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site.catalog.database.engine.dialect, "do_commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            site.engine.delete(request("task_1"))
    assert not (site.path / "task_1").exists()
    assert refused(site, "task_1").code is ErrorCode.TASK_BUSY
    assert refused(site, "task_1", What.DIRECTORY_AND_RECORDS).code is ErrorCode.TASK_BUSY
    fill(site.path / "task_1", 1)  # made again meanwhile: it must not go, or the old one would come back in its place
    assert refused(site, "task_1").code is ErrorCode.TASK_BUSY
    assert dict(site.recovery.run()) == {"conflict": 1}
    assert refused(site, "task_1").code is ErrorCode.TASK_BUSY
    (site.path / "task_1").rename(site.path.parent / "made again")
    assert dict(site.recovery.run()) == {"undone": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}
    site.engine.delete(request("task_1"))
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}


def test_a_directory_is_kept_open_until_it_has_been_moved(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing else can have its inode, by which it is known again: ext4 gives a free one to the next comer."""
    site.task("task_1")
    write, seen = TrashEntry.write_manifest, list[str]()

    def look(entry: TrashEntry, manifest: Mapping[str, object]) -> None:
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                seen.append(os.readlink(f"/proc/self/fd/{number}"))
        write(entry, manifest)

    monkeypatch.setattr(TrashEntry, "write_manifest", look)
    site.engine.delete(request("task_1"))
    assert str(site.path / "task_1") in seen
    held = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not any(".sweepd/trash" in path for path in held)
