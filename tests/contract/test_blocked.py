"""Something inside cannot be removed: the caller is told what and where, and recovery finishes once it can."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog.audit import AuditFilter
from daemon.deletion import audit_trail
from daemon.deletion.stuck import why
from daemon.errors import ErrorCode, TaskRefused
from daemon.storage import trash
from daemon.storage.removal import remove_tree
from support.auditor import DELETED, KEPT, Before, audit, audit_task
from support.processes import ForkServer
from support.site import Site, opened, request
from support.stores import Store
from support.trees import snapshot


def chattr(flag: str, path: Path) -> None:
    subprocess.run(["chattr", flag, str(path)], check=True, capture_output=True)


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[None]:
    """Whether the tests may make files immutable; afterwards none is."""
    (tmp_path / "probe").touch()
    try:
        chattr("+i", tmp_path / "probe")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user or this file system has no immutable files")
    yield
    subprocess.run(["chattr", "-R", "-i", str(tmp_path)], check=False, capture_output=True)


@pytest.fixture
def as_btrfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor lists what was there when it was opened: of an entry, which is opened while it is new, nothing."""
    opened_empty, lock, listdir = dict[int, int](), trash._lock, os.listdir

    def locked(trash_fd: int, entry_id: str) -> int | None:
        fd = lock(trash_fd, entry_id)
        if fd is not None:
            opened_empty[fd] = os.fstat(fd).st_ino
        return fd

    def listed(place: Any) -> list[str]:
        old = isinstance(place, int) and opened_empty.get(place) == os.fstat(place).st_ino
        return [] if old else listdir(place)

    monkeypatch.setattr(trash, "_lock", locked)
    monkeypatch.setattr(os, "listdir", listed)


@pytest.mark.usefixtures("immutable", "as_btrfs")
def test_a_file_system_that_lists_what_was_there_before_hides_no_failure(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, other = site.task("task_1", files=9), site.task("task_2")
    chattr("+i", site.path / "task_1" / "part-0" / "file-3.json")
    with pytest.raises(TaskRefused) as caught:
        site.engine.delete(request("task_1"))
    assert caught.value.code is ErrorCode.PERMISSION_DENIED
    assert site.store.ledger("task_1")[0]["state"] == "committed"
    monkeypatch.setattr("daemon.catalog.ledger.insert", lambda *_arguments: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        site.engine.delete(request("task_2"))
    assert audit_task(site.store, site.path, other) == KEPT
    chattr("-i", site.held(site.entries()[0]) / "part-0" / "file-3.json")
    assert dict(site.recovery.run()) == {"finished": 1}
    assert audit_task(site.store, site.path, before) == DELETED


@pytest.mark.usefixtures("immutable")
def test_an_immutable_file_blocks_its_own_task_only_and_recovery_finishes_when_it_is_freed(site: Site) -> None:
    before, other = site.task("task_1", files=9), site.task("task_2")
    chattr("+i", site.path / "task_1" / "part-0" / "file-3.json")
    with pytest.raises(TaskRefused) as caught:
        site.engine.delete(request("task_1"))
    assert caught.value.code is ErrorCode.PERMISSION_DENIED
    (entry,) = site.entries()
    where = str(site.held(entry).relative_to(site.path) / "part-0" / "file-3.json")
    assert caught.value.details == {"task_id": "task_1", "path": where, "errno": "EPERM"}
    assert "chattr -i" in str(caught.value)
    assert not (site.path / "task_1").exists()
    left = [path for path in site.held(entry).rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["file-3.json"], "what can go goes"
    (journal,) = site.store.ledger("task_1")
    assert (journal["state"], "file-3.json" in journal["error"]) == ("committed", True)
    site.engine.delete(request("task_2"))

    recovery = site.recovery
    assert dict(recovery.run()) == {"blocked": 1}
    assert dict(recovery.run()) == {"busy": 1}  # it pauses
    assert site.metric("sweepd_trash_blocked_entries") == 1
    assert (site.held(entry) / "part-0" / "file-3.json").stat().st_size > 0

    chattr("-i", site.held(entry) / "part-0" / "file-3.json")
    again = site.recovery
    assert dict(again.run()) == {"finished": 1}
    assert site.metric("sweepd_trash_blocked_entries") == 0
    assert audit(site.store, site.path, [before, other]) == {"task_1": DELETED, "task_2": DELETED}


def stuck(site: Site, task_id: str, retain: timedelta, *, inside: bool) -> Before:
    """A task in the trash whose directory cannot be moved there any more, or, if it can, holds what cannot go."""
    before = site.task(task_id)
    deletion_id = site.engine.delete(request(task_id, retain=retain)).deletion_id
    chattr("+i", site.retained / str(deletion_id) / ("file-0.json" if inside else "."))
    return before


@pytest.mark.usefixtures("immutable")
@pytest.mark.parametrize("inside", [True, False], ids=["blocked", "not to be moved"])
def test_what_cannot_be_purged_is_passed_over_when_it_is_due(
    site: Site, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    monkeypatch.setattr("daemon.deletion.retention._AT_ONCE", 2)
    at_once = timedelta(microseconds=1)
    for number in range(3):
        stuck(site, f"stuck_{number}", at_once, inside=inside)
    others = [site.task(f"task_{number}") for number in range(3)]
    for other in others:
        site.engine.delete(request(other.task_id, retain=at_once))
    assert site.retention.purge_expired() == 3
    assert {audit_task(site.store, site.path, other) for other in others} == {DELETED}
    subprocess.run(["chattr", "-R", "-i", str(site.path)], check=True)
    site.recovery.run()
    site.retention.purge_expired()
    assert {site.store.ledger(f"stuck_{number}")[0]["state"] for number in range(3)} == {"purged"}


@pytest.mark.usefixtures("immutable")
def test_everybody_who_shows_a_stuck_deletion_says_why_in_words(site: Site) -> None:
    site.task("now", files=9)
    chattr("+i", site.path / "now" / "part-0" / "file-3.json")
    with pytest.raises(TaskRefused):
        site.engine.delete(request("now"))
    (entry,) = site.entries()
    place = site.held(entry).relative_to(site.path)
    for task_id, inside in (("begun", True), ("waits", False)):
        stuck(site, task_id, timedelta(days=7), inside=inside)
        deletion_id = site.store.ledger(task_id)[0]["deletion_id"]
        with pytest.raises(TaskRefused, match=r"could not be purged: removing it failed at .*lsattr") as caught:
            site.retention.purge([deletion_id])
        assert ("Errno" in str(caught.value), deletion_id in str(caught.value)) == (False, inside)
    told = {record.entry.task_id: str(why(record)) for record in site.retention.stuck()}
    assert told["now"].startswith("removing it failed at part-0/file-3.json: Operation not permitted (EPERM); give ")
    assert told["now"].endswith(f"; what is left of the directory lies in {place}")
    assert told["begun"].startswith("removing it failed at file-0.json: ")
    assert told["waits"].startswith("removing it failed at waits: ")
    trail = [one for page in audit_trail.pages(site.catalog, AuditFilter()) for one in page]
    assert {one.entry.task_id: audit_trail.document(one)["error"] for one in trail} == told


@pytest.mark.usefixtures("immutable")
@pytest.mark.parametrize("inside", [True, False], ids=["blocked", "not to be moved"])
def test_what_cannot_be_purged_is_passed_over_when_room_is_made(site: Site, inside: bool) -> None:
    stuck(site, "stuck", timedelta(days=7), inside=inside)
    other = site.task("task_1")
    site.engine.delete(request("task_1", retain=timedelta(days=7)))
    assert site.retention.purge_oldest(lambda: True) == 1
    assert audit_task(site.store, site.path, other) == DELETED
    assert site.retention.purge_oldest(lambda: True) == 0


@pytest.mark.usefixtures("immutable")
def test_a_purge_that_has_begun_and_is_blocked_does_not_wait_any_more(site: Site) -> None:
    before = stuck(site, "task_1", timedelta(days=7), inside=True)
    deletion_id = site.store.ledger("task_1")[0]["deletion_id"]
    (site.retained / deletion_id / "late").write_bytes(b"x" * 100)
    with pytest.raises(TaskRefused, match=r"file-0\.json") as caught:
        site.retention.purge([deletion_id])
    assert caught.value.code is ErrorCode.DELETION_FAILED
    assert site.retention.waiting() == []
    for refused in (
        lambda: site.restorer.restore(deletion_id, "test"),
        lambda: site.restorer.restore_task("task_1", "test"),
        lambda: site.retention.purge([deletion_id]),
    ):
        with pytest.raises(TaskRefused, match="being purged") as caught:
            refused()
        assert caught.value.code is ErrorCode.NOT_RESTORABLE
    assert site.store.query("SELECT * FROM sweepd_snapshots") == []
    assert dict(site.recovery.run()) == {"blocked": 1}
    subprocess.run(["chattr", "-R", "-i", str(site.path)], check=True)
    assert dict(site.recovery.run()) == {"finished": 1}
    assert before.counts is not None
    (journal,) = site.store.ledger("task_1")
    assert (journal["state"], journal["files"], journal["error"]) == ("purged", before.counts[0] + 1, None)


@pytest.mark.usefixtures("immutable")
def test_a_purge_that_has_begun_is_no_way_back_though_the_journal_does_not_know(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(site, "task_1", timedelta(microseconds=1), inside=True)
    monkeypatch.setattr("daemon.deletion.stuck.note", lambda *_arguments: None)
    site.retention.purge_expired()
    with pytest.raises(TaskRefused, match="its purge has begun") as caught:
        site.restorer.restore_task("task_1", "test")
    assert caught.value.code is ErrorCode.NOT_RESTORABLE


@pytest.mark.usefixtures("immutable")
def test_what_is_left_of_an_earlier_deletion_keeps_no_later_one_from_being_restored(site: Site) -> None:
    site.task("task_1")
    chattr("+i", site.path / "task_1" / "file-0.json")
    with pytest.raises(TaskRefused):
        site.engine.delete(request("task_1"))
    site.store.query("UPDATE data_pipeline_tasks SET directory_exists = NULL, updated_at = NULL")
    site.directory("task_1")
    later = snapshot(site.path / "task_1")
    site.engine.delete(request("task_1", retain=timedelta(days=7)))
    assert [one.directory for one in site.restorer.restore_task("task_1", "test")] == [True]
    assert snapshot(site.path / "task_1") == later


@pytest.mark.usefixtures("immutable")
def test_an_immutable_task_directory_is_refused_before_anything_changes(site: Site) -> None:
    before = site.task("task_1")
    chattr("+i", site.path / "task_1")
    with pytest.raises(TaskRefused) as caught:
        site.engine.delete(request("task_1"))
    assert (caught.value.code, caught.value.details["path"]) == (ErrorCode.PERMISSION_DENIED, "task_1")
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


@pytest.fixture
def nobody() -> int:
    """An unprivileged user; the present one, if that is none but root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def shared_site(store: Store, nobody: int) -> Iterator[Site]:
    """An installation whose root and catalog belong to an unprivileged user, in a folder it can reach."""
    folder = Path(tempfile.mkdtemp(prefix="sweepd-shared-"))
    folder.chmod(0o755)
    try:
        if store.sqlite:
            shutil.move(store.url.partition(":///")[2], folder / "catalog.sqlite")
            store = Store(f"sqlite:///{folder}/catalog.sqlite")
        with opened(store, folder / "root") as site:
            site.init()
            yield site
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=False)
        shutil.rmtree(folder)


def give(site: Site, uid: int) -> None:
    site.catalog.close()
    subprocess.run(["chown", "-R", f"{uid}:{uid}", str(site.path.parent)], check=True)


def lock_up(path: Path) -> None:
    """Take the directory away from everybody but root."""
    if os.geteuid() == 0:
        os.chown(path, 0, 0)
    path.chmod(0o500)


def test_a_plan_says_of_one_directory_that_its_size_is_unknown(
    shared_site: Site, nobody: int, processes: ForkServer, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        shared_site.task(
            f"task_{number}", steps=0, created_at="2024-01-01 00:00:00", completed_at="2024-01-01 00:00:00"
        )
    shutil.rmtree(shared_site.path / "task_1")
    (shared_site.path / "task_1").symlink_to(tmp_path)
    (shared_site.path / "task_2").chmod(0)
    give(shared_site, nobody)
    said = processes.run(
        "support.crash:measure_as", url=shared_site.store.url, root=str(shared_site.path), uid=nobody
    ).value
    assert said["measured"] == ["task_3"]
    assert sorted(said["unknown"]) == ["task_1", "task_2"]
    assert "permission" in said["unknown"]["task_2"].lower()


def test_a_directory_the_daemon_may_not_move_is_refused_before_anything_changes(
    shared_site: Site, nobody: int, processes: ForkServer
) -> None:
    before = shared_site.task("task_1")
    give(shared_site, nobody)
    # To move a directory elsewhere is to write its "..".
    lock_up(shared_site.path / "task_1")
    tree = snapshot(shared_site.path / "task_1")
    said = processes.run(
        "support.crash:delete_as", url=shared_site.store.url, root=str(shared_site.path), task_id="task_1", uid=nobody
    ).value
    assert said == ["PERMISSION_DENIED", "task_1", "EACCES"]
    assert snapshot(shared_site.path / "task_1") == tree
    assert shared_site.store.task("task_1") == before.row
    assert shared_site.store.ledger("task_1") == []
    assert shared_site.entries() == []


def test_a_folder_the_daemon_may_not_empty_blocks_until_it_may(
    shared_site: Site, nobody: int, processes: ForkServer
) -> None:
    before = shared_site.task("task_1", files=9)
    give(shared_site, nobody)
    locked = shared_site.path / "task_1" / "part-0"
    lock_up(locked)
    locked.chmod(0o555)  # it can be counted
    said = processes.run(
        "support.crash:delete_as", url=shared_site.store.url, root=str(shared_site.path), task_id="task_1", uid=nobody
    ).value
    assert said[0::2] == ["PERMISSION_DENIED", "EACCES"]
    (entry,) = shared_site.entries()
    held = shared_site.held(entry)
    assert said[1].startswith(f"{held.relative_to(shared_site.path)}/part-0")
    (held / "part-0").chmod(0o755)
    assert (held / "part-0" / "file-3.json").exists()
    give(shared_site, nobody)
    assert dict(shared_site.recovery.run()) == {"finished": 1}
    assert audit(shared_site.store, shared_site.path, [before]) == {"task_1": DELETED}


def test_a_small_directory_the_daemon_cannot_count_goes_back_and_the_others_of_its_group_go(
    shared_site: Site, nobody: int, processes: ForkServer
) -> None:
    locked, other = shared_site.task("task_1", files=9), shared_site.task("task_2")
    give(shared_site, nobody)
    lock_up(shared_site.path / "task_1" / "part-0")
    tree = snapshot(shared_site.path / "task_1")
    said = processes.run(
        "support.crash:delete_group_as",
        url=shared_site.store.url,
        root=str(shared_site.path),
        task_ids=["task_1", "task_2"],
        uid=nobody,
    ).value
    assert said == {"task_1": "PERMISSION_DENIED", "task_2": "deleted"}
    assert snapshot(shared_site.path / "task_1") == tree
    assert shared_site.store.task("task_1") == locked.row
    assert shared_site.store.ledger("task_1") == []
    assert audit_task(shared_site.store, shared_site.path, other) == DELETED
    assert shared_site.entries() == []


@pytest.mark.usefixtures("immutable")
def test_what_is_stuck_is_told_all_the_while_and_no_longer_when_another_process_has_settled_it(site: Site) -> None:
    site.task("task_1", files=9)
    chattr("+i", site.path / "task_1" / "part-0" / "file-3.json")
    with pytest.raises(TaskRefused):
        site.engine.delete(request("task_1"))
    recovery = site.recovery
    assert recovery.unsettled == 0
    for result in ("blocked", "busy", "busy"):  # while it pauses it is as stuck as before
        assert dict(recovery.run()) == {result: 1}
        assert recovery.unsettled == site.metric("sweepd_trash_blocked_entries") == 1
    chattr("-i", site.held(site.entries()[0]) / "part-0" / "file-3.json")
    assert dict(site.recovery.run()) == {"finished": 1}
    recovery.run()
    assert recovery.unsettled == site.metric("sweepd_trash_blocked_entries") == 0


def test_an_entry_whose_manifest_is_a_directory_stands_in_nobodys_way(site: Site) -> None:
    before = site.task("task_1")
    (site.trash / ("a" * 28) / "manifest.json").mkdir(parents=True)
    open_before = len(os.listdir("/proc/self/fd"))
    site.engine.delete(request("task_1"))
    assert audit_task(site.store, site.path, before) == DELETED
    assert len(os.listdir("/proc/self/fd")) <= open_before + 2, "a connection or two"


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """A btrfs of its own, in an image file."""
    image, place = tmp_path / "image", tmp_path / "btrfs"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * 1024**2)
    try:
        for command in (["mkfs.btrfs", "-q", image], ["mount", "-o", "loop", image, place]):
            subprocess.run([str(word) for word in command], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root, mkfs.btrfs and a kernel with btrfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def subvolume(command: str, *paths: Path) -> None:
    subprocess.run(["btrfs", "subvolume", *command.split(), *map(str, paths)], check=True, capture_output=True)


@pytest.mark.exhaustive
def test_a_read_only_subvolume_of_btrfs_blocks_its_own_task_only(store: Store, btrfs: Path) -> None:
    with opened(store, btrfs / "root") as site:
        site.init()
        other = site.task("task_2")
        site.task("task_1")
        subvolume("create", site.path / "whole")
        (site.path / "whole" / "file").touch()
        subvolume("snapshot -r", site.path / "whole", site.path / "task_1" / "inside")
        subvolume("snapshot -r", site.path / "whole", site.path / "task_3")
        site.store.add_task("task_3", status="completed")
        for task_id in ("task_1", "task_3"):
            with pytest.raises(TaskRefused, match=r"read-only subvolume.*btrfs property set") as caught:
                site.engine.delete(request(task_id))
            assert caught.value.code is ErrorCode.PERMISSION_DENIED
        assert dict(site.recovery.run()) == {"blocked": 1}
        site.engine.delete(request("task_2"))
        (entry,) = site.entries()
        for locked in (site.held(entry) / "inside", site.path / "task_3"):
            subprocess.run(["btrfs", "property", "set", str(locked), "ro", "false"], check=True)
        assert dict(site.recovery.run()) == {"finished": 1}
        site.engine.delete(request("task_3"))
        (journal,) = site.store.ledger("task_1")
        assert (journal["state"], journal["files"], journal["error"]) == ("purged", 4, None)
        assert audit_task(site.store, site.path, other) == DELETED
        assert sorted(os.listdir(site.path)) == [".sweepd", "whole"]


@pytest.mark.exhaustive
def test_a_btrfs_that_has_become_read_only_is_the_storage_roots_fault(store: Store, btrfs: Path) -> None:
    with opened(store, btrfs / "root") as site:
        site.init()
        (site.path / "task_1").mkdir()
        subvolume("create", site.path / "task_1" / "data")
        (site.path / "task_1" / "data" / "file").touch()
        fd = os.open(site.path, os.O_RDONLY)
        try:
            subprocess.run(["mount", "-o", "remount,ro", str(btrfs)], check=True)
            with pytest.raises(OSError, match="Read-only") as caught:
                remove_tree(fd, "task_1")
            assert caught.value.errno == errno.EROFS
        finally:
            os.close(fd)
            subprocess.run(["mount", "-o", "remount,rw", str(btrfs)], check=True)
