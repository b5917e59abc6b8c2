"""What happens when something is mounted inside a task directory, in a mount table of the process's own.

These functions run in children of ``support.processes``; what they mount is gone when they end.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from daemon.deletion.models import Trigger
from daemon.errors import TaskRefused
from daemon.storage import identity, syscalls
from daemon.storage.removal import remove_tree
from daemon.storage.root import StorageRoot, mark
from support import crash
from support.auditor import audit_task, remember
from support.crash import attempt
from support.daemons import TASKS, Installation
from support.inventories import scan, scanned
from support.judging import policy_set
from support.site import Site, opened, request
from support.stores import Store
from support.trees import fill, snapshot

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 1
_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18


def possible() -> bool:
    """Whether this machine lets the tests mount anything."""
    try:
        _private_table()
    except OSError:
        return False
    return True


def scenario(folder: str, kind: str, place: str, portable: bool) -> dict[str, Any]:
    """Mount ``kind`` at ``place`` inside a task directory, and ask the storage to find and to remove it.

    Answers what ``find`` refused with, the errno of ``remove_tree``, whether the mounted content survived, and what
    else did.
    """
    _private_table()
    syscalls._has_openat2 = not portable
    path = Path(folder) / "root"
    root_id = mark(path)
    root = StorageRoot(path, lambda: root_id)
    task = fill(path / "task_1")
    point = task / place
    point.mkdir(parents=True, exist_ok=True)
    elsewhere = fill(Path(folder) / "elsewhere", 7)
    if kind == "bind":
        _mount(str(elsewhere), str(point), None, _MS_BIND)
    else:
        _mount("none", str(point), "tmpfs", 0)
        fill(point / "content", 7)
    before = snapshot(point)
    refusal = None
    with root.open() as opened:
        try:
            opened.find("task_1")
        except TaskRefused as error:
            refusal = error.code
        code = where = None
        try:
            remove_tree(opened.fd, "task_1")
        except OSError as error:
            code, where = error.errno, error.filename
    return {
        "refusal": refusal,
        "errno": code,
        "where": where,
        "mounted": snapshot(point) == before and len(before) > 7,
        "root": sorted(os.listdir(path)),
    }


def loops_possible() -> bool:
    """Whether this machine lets the tests mount a file system out of a file: that takes root and a loop device."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            _private_table()
            _mount_image(Path(folder), "-I", "256")
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", f"{folder}/mounted"], check=True)
    return True


def restart_within_a_restore(folder: str) -> dict[str, Any]:
    """Cut off a restore, mount the file system again as another device, and recover."""
    _private_table()
    _mount_image(Path(folder), "-I", "256")
    mounted = Path(folder) / "mounted"
    with opened(Store(f"sqlite:///{folder}/catalog.sqlite"), mounted / "root") as site:
        site.init()
        before = site.task("task_1")
        deletion_id = site.engine.delete(request("task_1", retain=timedelta(days=7))).deletion_id
        assert deletion_id is not None
        child = os.fork()
        if child == 0:
            crash.restore(site.store.url, str(site.path), deletion_id, 2)
            os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "it was never killed"
        devices = [mounted.stat().st_dev]
        subprocess.run(["umount", str(mounted)], check=True)
        other = Path(folder) / "other"
        other.mkdir()
        _mount_image(other, "-I", "256")  # which takes the number that has become free
        subprocess.run(["mount", "-o", "loop", f"{folder}/image", str(mounted)], check=True)
        devices.append(mounted.stat().st_dev)
        results = {str(result): count for result, count in site.recovery.run().items()}
        fate = audit_task(site.store, site.path, before)
    for point in (mounted, other / "mounted"):
        subprocess.run(["umount", str(point)], check=True)
    return {"devices": devices, "results": results, "fate": fate}


def without_time_of_birth(folder: str) -> dict[str, Any]:
    """What tells directories apart on a file system that does not note when they were made."""
    _private_table()
    _mount_image(Path(folder), "-I", "128")
    mounted = Path(folder) / "mounted"
    fd = os.open(mounted, os.O_RDONLY)
    try:
        (mounted / "task_1").mkdir()
        first = identity.look(fd, "task_1").identity
        os.rename(mounted / "task_1", mounted / "elsewhere")
        os.chmod(mounted / "elsewhere", 0)
        moved = identity.look(fd, "elsewhere").identity
        os.rmdir(mounted / "elsewhere")
        for _ in range(100):
            (mounted / "task_1").mkdir()
            second = identity.look(fd, "task_1").identity
            if second.inode == first.inode:
                break
            os.rmdir(mounted / "task_1")
    finally:
        os.close(fd)
    subprocess.run(["umount", str(mounted)], check=True)
    return {
        "birth": first.birth_ns,
        "moved": first.compare(moved).value,
        "reused": second.inode == first.inode,
        "replaced": first.compare(second).value,
    }


def bind_over_root(folder: str) -> str:
    """Cover a marked root with another folder, and ask for what is in it."""
    _private_table()
    path = Path(folder) / "root"
    root_id = mark(path)
    fill(path / "task_1")
    other = Path(folder) / "other"
    other.mkdir()
    _mount(str(other), str(path), None, _MS_BIND)
    try:
        with StorageRoot(path, lambda: root_id).open() as opened:
            return f"opened: {opened.find('task_1')}"
    except Exception as error:
        return type(error).__name__


def start_on_a_root_that_takes_no_changes(folder: str) -> dict[str, Any]:
    """Start a daemon on a root that is mounted read-only, as after a fault; what it says, and once it is writable."""
    _private_table()
    installation = Installation(Path(folder), f"sqlite:///{folder}/catalog.sqlite")
    installation.init()
    root = str(installation.root)
    _mount(root, root, None, _MS_BIND)
    _mount("none", root, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY)
    with installation.daemon(ready=False) as daemon:
        refused = daemon.wait_for_event("not_ready")
        answers = [daemon.get(path).status_code for path in ("/livez", "/readyz")]
        _mount("none", root, None, _MS_BIND | _MS_REMOUNT)
        daemon.wait_for_event("ready")
        return {"refused": [refused["component"], refused["error"]], "answers": answers, "ended": daemon.terminate()}


def delete_on_full_disk(folder: str) -> dict[str, Any]:
    """Delete a task on a small file system without a single free block, and say what came of it."""
    _private_table()
    path = Path(folder) / "small"
    path.mkdir()
    _mount("none", str(path), "tmpfs", 0, "size=2m")
    site = Site(Store(f"sqlite:///{folder}/catalog.sqlite"), path)
    site.init()
    before = site.task("task_1", files=5)
    try:
        with open(path / "filler", "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
    except OSError:
        pass
    retained = attempt(site, "task_1", retain=timedelta(days=1))
    whole = snapshot(path / "task_1") == before.tree
    error = None
    try:
        site.engine.delete(request("task_1"))
    except Exception as caught:
        error = f"{getattr(caught, 'code', type(caught).__name__)}"
    left = sorted(os.listdir(path))
    fate = audit_task(site.store, path, before)
    return {
        "retained": retained,
        "whole": whole,
        "error": error,
        "left": left,
        "fate": fate,
        "entries": len(site.entries()),
    }


def delete_with_reserve(folder: str, lacking: str) -> dict[str, Any]:
    """Delete tasks, one to keep in the trash, without a free block or inode; and what came of it and of the reserve."""
    _private_table()
    path = Path(folder) / "small"
    path.mkdir()
    _mount("none", str(path), "tmpfs", 0, "size=32m,nr_inodes=400")
    site = Site(Store(f"sqlite:///{folder}/catalog.sqlite"), path)
    site.init()
    before = [site.task(f"task_{number}", files=5) for number in range(3)]
    site.recovery.run()
    reserve = path / ".sweepd" / "reserve"
    kept = len(list(reserve.iterdir()))
    with contextlib.suppress(OSError):
        if lacking == "blocks":
            with open(path / "filler", "wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
        for number in range(1000):
            (path / f"filler-{number}").touch()
    refused = attempt(site, "task_0", retain=timedelta(days=1))
    untouched = len(list(reserve.iterdir()))
    site.engine.delete_group([request("task_1"), request("task_2")])
    given_up = kept - len(list(reserve.iterdir()))
    fates = [audit_task(site.store, path, task) for task in before]
    for filler in path.glob("filler*"):
        filler.unlink()
    site.recovery.run()
    again = len(list(reserve.iterdir()))
    facts = {"kept": kept, "refused": refused, "untouched": untouched, "left": given_up < kept}
    return {**facts, "fates": fates, "again": again}


def init_and_sweep_on_full_disk(folder: str, url: str, kind: str, lacking: str) -> dict[str, Any]:
    """Init and sweep from the command line where nothing is left and nothing was set aside, and no daemon ever ran."""
    _private_table()
    made = Installation(Path(folder) / "site", url, _SWEEPING)
    made.root.mkdir(parents=True)
    _small(Path(folder), made.root, kind)
    store = Store(url)
    names = [f"task_{number}" for number in range(70)]
    for name in names:
        store.add_task(name, status="completed", completed_at="2020-01-01 00:00:00")
        fill(made.root / name, 2)
    store.add_task("task_young", status="completed", completed_at="2999-01-01 00:00:00")
    young = snapshot(fill(made.root / "task_young"))
    tasks = [remember(store, made.root, name) for name in names]
    fillers = made.root / "fillers"
    fillers.mkdir()
    _exhaust(fillers, lacking)
    said: dict[str, Any] = {}
    free = os.statvfs(made.root)
    said["free"] = free.f_bavail if lacking == "blocks" else free.f_ffree
    first = made.run("init", cold=True, check=False)
    said["init"] = first.returncode
    _exhaust(fillers, lacking)
    done = made.run("sweep", "old", cold=True, check=False)
    said["sweep"] = done.returncode
    said["output"] = "" if done.returncode == 0 and first.returncode == 0 else first.stderr + done.stdout + done.stderr
    said["fates"] = sorted({audit_task(store, made.root, task) for task in tasks})
    said["left"] = sorted({*os.listdir(made.root)} - {"lost+found"})
    said["young"] = snapshot(made.root / "task_young") == young
    said["marked"] = (made.root / ".sweepd" / "root.json").exists()
    said["unmarked"] = store.query("SELECT unmarked FROM sweepd_roots")[0]["unmarked"]
    said["trash"] = os.listdir(made.root / ".sweepd" / "trash")
    shutil.rmtree(fillers)
    store.add_task("task_later", status="completed", completed_at="2020-01-01 00:00:00")
    fill(made.root / "task_later")
    said["again"] = made.run("sweep", "old", cold=True, check=False).returncode
    said["reserve"] = len(os.listdir(made.root / ".sweepd" / "reserve"))
    return said


def sweep_into_the_trash_on_a_full_disk(folder: str) -> dict[str, Any]:
    """Sweep what is to wait in the trash, on a full disk: while it is empty, and when it has room to give."""
    _private_table()
    made = Installation(Path(folder) / "site", f"sqlite:///{folder}/sweepd.sqlite3", _WAITING)
    made.root.mkdir(parents=True)
    _small(Path(folder), made.root, "tmpfs")
    made.init()
    store = Store(made.url)

    def add(name: str, size: int) -> None:
        store.add_task(name, status="completed", completed_at="2020-01-01 00:00:00")
        (made.root / name).mkdir()
        (made.root / name / "data").write_bytes(b"x" * size)

    add("task_1", 2**20)
    fillers = made.root / "fillers"
    fillers.mkdir()
    _exhaust(fillers, "blocks")
    refused = [made.run("sweep", "old", check=False) for _ in range(4)]
    shutil.rmtree(fillers)
    waits = made.run("sweep", "old", check=False).returncode
    add("task_2", 2**20)
    fillers.mkdir()
    _exhaust(fillers, "blocks")
    done = made.run("sweep", "old", check=False)
    states = store.query("SELECT task_id, state FROM sweepd_deletions ORDER BY task_id")
    return {
        "refused": sorted({one.returncode for one in refused}),
        "told": ["the file system is full" in one.stdout for one in refused],
        "failing": store.query("SELECT count(*) AS n FROM sweepd_task_failures")[0]["n"],
        "waits": waits,
        "later": done.returncode,
        "output": "" if done.returncode == 0 else done.stdout + done.stderr,
        "states": [[row["task_id"], row["state"]] for row in states],
    }


def sweep_beside_a_database_on_the_same_full_disk(folder: str, lacking: str) -> dict[str, Any]:
    """Init while there is room; then fill the disk that holds root and SQLite database, and sweep without a daemon."""
    _private_table()
    path = Path(folder) / "small"
    path.mkdir()
    _mount("none", str(path), "tmpfs", 0, "size=48m,nr_inodes=1200")
    made = Installation(path, f"sqlite:///{path}/sweepd.sqlite3", _SWEEPING)
    made.init()
    store = Store(made.url)
    names = [f"task_{number}" for number in range(70)]
    for name in names:
        store.add_task(name, status="completed", completed_at="2020-01-01 00:00:00")
        fill(made.root / name, 2)
    tasks = [remember(store, made.root, name) for name in names]
    (path / "fillers").mkdir()
    _exhaust(path / "fillers", lacking)
    done = made.run("sweep", "old", cold=True, check=False)
    shutil.rmtree(path / "fillers")
    fates = sorted({audit_task(store, made.root, task) for task in tasks})
    return {"sweep": done.returncode, "output": done.stderr if done.returncode else "", "fates": fates}


def _small(folder: Path, at: Path, kind: str) -> None:
    """Mount a small file system."""
    if kind == "tmpfs":
        _mount("none", str(at), "tmpfs", 0, "size=48m,nr_inodes=1200")
        return
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate((400 if kind == "xfs" else 128 if kind == "btrfs" else 48) * 2**20)
    options = {"ext4": ["-q", "-N", "1200", "-m", "0"], "xfs": ["-q"], "btrfs": ["-q", "--mixed"]}[kind]
    subprocess.run([f"mkfs.{kind}", *options, str(image)], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True, capture_output=True)


def _exhaust(folder: Path, lacking: str) -> None:
    """Use up every block or every inode."""
    with contextlib.suppress(OSError):
        if lacking == "inodes":
            for number in range(1_000_000):
                (folder / f"{len(os.listdir(folder))}-{number}").touch()
    if lacking == "blocks":
        for size in (2**20, 4096, 512):
            with contextlib.suppress(OSError), open(folder / f"{size}-{len(os.listdir(folder))}", "wb") as file:
                while True:
                    file.write(b"x" * size)
                    file.flush()
    os.sync()


def delete_from_a_lower_layer(folder: str, url: str) -> dict[str, Any]:
    """Delete a directory that an overlay does not move: by a policy that may not, and by one that may."""
    _private_table()
    made = Installation(Path(folder) / "site", url, _SWEEPING)
    made.root.mkdir(parents=True)
    layers = Path(folder) / "layers"
    layers.mkdir()
    _mount("none", str(layers), "tmpfs", 0)
    for name in ("lower", "upper", "work"):
        (layers / name).mkdir()
    fill(layers / "lower" / "task_1", 300)
    options = ",".join(f"{name}dir={layers / name}" for name in ("lower", "upper", "work"))
    _mount("overlay", str(made.root), "overlay", 0, options)
    store = Store(url)
    store.add_task("task_1", status="completed", completed_at="2020-01-01 00:00:00")
    before = remember(store, made.root, "task_1")
    made.run("init")
    said: dict[str, Any] = {}
    refused = json.loads(made.run("sweep", "old", "--json", check=False).stdout)["failed"]
    said["code"], said["told"] = refused[0]["code"], "lower layer" in refused[0]["reason"]
    said["mount"] = "unmount" in refused[0]["reason"]
    said["first"] = audit_task(store, made.root, before)
    said["doctor"] = "lower layer" in made.run("doctor", check=False).stdout
    said["looked"] = audit_task(store, made.root, before)
    made.write_policies(_SWEEPING.replace("delete: directory", "delete: directory, in_place: true"))
    said["sweep"] = made.run("sweep", "old", check=False).returncode
    said["fate"] = audit_task(store, made.root, before)
    said["in_place"] = [row["in_place"] is not None for row in store.ledger("task_1")]
    return said


def fill_running_daemon(folder: str) -> dict[str, Any]:
    """Fill the one small disk that holds a running daemon's storage root, its SQLite database and its log."""
    _private_table()
    path = Path(folder) / "small"
    path.mkdir()
    _mount("none", str(path), "tmpfs", 0, "size=32m")
    made = Installation(path, f"sqlite:///{path}/var/sweepd.sqlite3")
    made.init()
    site = Site(Store(made.url), made.root)
    tasks = [site.task(f"task_{number}", files=5, steps=0) for number in range(20)]
    said: dict[str, Any] = {}
    with made.daemon(cold=True) as daemon:
        pid, address = daemon.process.pid, daemon.address
        _until(lambda: (made.root / ".sweepd" / "reserve").exists())
        with contextlib.suppress(OSError), open(path / "filler", "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        said["free"] = os.statvfs(path).f_bavail
        for task in tasks[:10]:
            answer = requests.delete(f"{address}{TASKS}/{task.task_id}", json={"confirm": True}, timeout=60)
            said.setdefault("full", []).append(answer.status_code)
        with contextlib.suppress(OSError), open(path / "filler-2", "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        for _ in range(50):  # each refusal is a line of the log
            requests.get(f"{address}/nowhere", timeout=60)
        said["live"] = requests.get(f"{address}/livez", timeout=60).status_code
        (path / "filler").unlink()
        (path / "filler-2").unlink()
        for task in tasks[10:]:
            answer = requests.delete(f"{address}{TASKS}/{task.task_id}", json={"confirm": True}, timeout=60)
            said.setdefault("again", []).append(answer.status_code)
        for task in tasks[:10]:
            requests.delete(f"{address}{TASKS}/{task.task_id}", json={"confirm": True}, timeout=60)
        metrics = requests.get(f"{address}/metrics", timeout=60).text
        said["same"] = daemon.process.poll() is None and daemon.process.pid == pid
        said["ended"] = daemon.terminate()
    said["last"] = json.loads(next(path.glob("daemon-*.log")).read_text(encoding="utf-8").splitlines()[-1])["event"]
    line = next(line for line in metrics.splitlines() if line.startswith("sweepd_log_lines_dropped_total"))
    said["dropped"] = float(line.split()[1])
    site.recovery.run()
    said["fates"] = sorted({audit_task(site.store, made.root, task) for task in tasks})
    site.close()
    return said


def bring_down_to_mark(folder: str, url: str, measured: bool) -> dict[str, Any]:
    """Fill a file system of 200 MB to 90% and sweep it with a quota; what is used then, and what went in which order.

    The tasks have different sizes; of the older ones some are running, held or too young by what they say.
    """
    _private_table()
    path = Path(folder) / "small"
    path.mkdir()
    _mount("none", str(path), "tmpfs", 0, "size=200m")
    site = Site(Store(url), path)
    site.init()
    names: list[str] = []
    while (used := _used(path)) < 0.9:
        names.append(f"task_{len(names):03}")
        status = "in_progress" if len(names) % 7 == 0 else "completed"
        day = 1 + len(names) // 24
        stamp = f"2024-01-{day:02} {len(names) % 24:02}:00:00"
        site.store.add_task(names[-1], status=status, created_at=stamp, completed_at=stamp)
        (path / names[-1] / "part").mkdir(parents=True)
        size = min(int(1_000_000 * (1 + len(names) % 3)), int((0.902 - used) * 200 * 2**20))
        (path / names[-1] / "part" / "file").write_bytes(b"x" * size)
    if measured:
        scanned(site, *names)
    held = names[2]
    stamp = "2026-01-01 00:00:00" + ("" if site.store.sqlite else "+00")
    statement = "INSERT INTO sweepd_holds (hold_id, pattern, owner, reason, placed_at) VALUES (?, ?, ?, ?, ?)"
    site.store.query(statement, ["h", held, "alice", "evidence", stamp])
    before = _used(path)
    policies = policy_set(
        {"status": "completed"}, mode="enforce", quota={"of": "filesystem", "high": "85%", "low": "70%"}
    )
    report = site.sweeper(workers=2).sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
    gone = [name for name in names if not (path / name).exists()]
    may_go = [name for number, name in enumerate(names, 1) if number % 7 and name != held]
    again = site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
    site.close()
    return {
        "outcome": report.outcome,
        "error": report.error,
        "before": before,
        "after": _used(path),
        "oldest_first": gone == may_go[: len(gone)],
        "gone": len(gone),
        "left": len(may_go) - len(gone),
        "journal": sorted(row["task_id"] for row in site.store.query("SELECT task_id FROM sweepd_deletions")) == gone,
        "again": [again.outcome, again.selected],
        "used": site.metric("sweepd_quota_used", policy="policy") / (200 * 2**20),
    }


def raise_every_alarm(folder: str, url: str) -> dict[str, Any]:
    """Give a running daemon three reasons to delete what it must not, one after the other; what it did about each."""
    _private_table()
    made = Installation(Path(folder), url, _ALARMED)
    made.module = "support.shifted_clock"
    site = Site(Store(url), made.root)
    young, old = (datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=hours) for hours in (23, 230))
    names = [f"task_{number}" for number in range(5)]
    for name in names:
        site.task(name, steps=0, created_at=young, completed_at=young)
    scanned(site, *names)
    scan(site, directories=5, orphans=0)
    site.store.query("CREATE TABLE saved AS SELECT * FROM data_pipeline_tasks")
    before = snapshot(made.root / "task_0")
    set_age = "UPDATE data_pipeline_tasks SET completed_at = ?"
    said: dict[str, Any] = {}
    with made.daemon(cold=True) as daemon:
        for policy in ("old", "orphans"):
            assert daemon.wait_for_event("sweep_finished", policy=policy)["outcome"] == "success"

        _mount("none", str(made.root), "tmpfs", 0)
        site.store.query(set_age, [old])
        # One that had begun before ends with nothing but failed tasks: the next one sees it from the start.
        said["covered"] = daemon.wait_for_event(
            "sweep_finished", policy="old", outcome="failed", error="ROOT_UNAVAILABLE"
        )["error"]
        site.store.query(set_age, [young])
        _until(lambda: _unmounted(made.root))  # the daemon looks at it now and then, and is in the way meanwhile

        site.store.query("DELETE FROM data_pipeline_tasks")
        said["emptied"] = [
            daemon.wait_for_event("sweep_refused", policy=policy, level="error", error="CATALOG_EMPTY")["error"]
            for policy in ("old", "orphans")
        ]
        site.store.query("INSERT INTO data_pipeline_tasks SELECT * FROM saved")

        (made.folder / "clock.json").write_text('{"hours": 2}')
        said["ahead"] = daemon.wait_for_event("sweep_refused", policy="old", level="error", error="CLOCK_UNRELIABLE")[
            "error"
        ]
        (made.folder / "clock.json").unlink()

        said["journal"] = site.store.query("SELECT * FROM sweepd_deletions")
        said["directories"] = sorted(path.name for path in made.root.iterdir() if path.name != ".sweepd") == names
        said["whole"] = snapshot(made.root / "task_0") == before
        site.store.query(set_age, [old])
        said["at last"] = daemon.wait_for_event("deletion_finished")["outcome"]
    site.close()
    return said


_ALARMED = """
version: 1
policies:
  - name: old
    mode: enforce
    schedule: {every: 1s}
    match: {older_than: 1d}
    action: {delete: directory}
  - name: orphans
    mode: enforce
    source: orphans
    schedule: {every: 1s}
    match: {older_than: {age: 1d, by: first_seen}}
    action: {delete: directory}
"""


def _unmounted(path: Path) -> bool:
    if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(path), 0) == 0:
        return True
    if ctypes.get_errno() != errno.EBUSY:
        raise OSError(ctypes.get_errno(), "umount")
    time.sleep(0.05)
    return False


def _used(path: Path) -> float:
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) / found.f_blocks


def cover_running_daemon(folder: str) -> dict[str, Any]:
    """Mount an empty file system over the root of a running daemon, and take it away again."""
    _private_table()
    made = Installation(Path(folder) / "site", f"sqlite:///{folder}/site/var/sweepd.sqlite3", _SWEEPING)
    made.init()
    store = Store(made.url)
    store.add_task("task_1", status="completed", completed_at="2020-01-01 00:00:00")
    fill(made.root / "task_1")
    before, said = store.task("task_1"), {}
    with made.daemon(cold=True) as daemon:
        _mount("none", str(made.root), "tmpfs", 0)
        _until(lambda: daemon.get("/readyz").status_code == 503)
        said["checks"] = daemon.get("/readyz").json()["data"]["checks"]["storage_root"]
        said["delete"] = daemon.delete("task_1").json()["error_code"]
        made.write_policies(_SWEEPING)
        said["sweep"] = made.run("sweep", "old", check=False).returncode
        said["row"] = store.task("task_1") == before
        said["covered"] = os.listdir(made.root)
        _until(lambda: _unmounted(made.root))  # the daemon looks at it now and then, and is in the way meanwhile
        _until(lambda: daemon.get("/readyz").status_code == 200)
        said["ready"] = daemon.get("/readyz").status_code
        said["deleted"] = daemon.delete("task_1").json()["data"]["directory_deleted"]
    return said


_WAITING = """
version: 1
policies:
  - name: old
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {trash: {retain: 7d}}
"""
_SWEEPING = """
version: 1
policies:
  - {name: old, mode: enforce, match: {older_than: 1d}, action: {delete: directory}}
"""


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def _private_table() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS if os.geteuid() == 0 else _CLONE_NEWNS | _CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)


def _mount_image(folder: Path, *options: str) -> None:
    """Make an ext4 file system in ``image`` and mount it as ``mounted``, both in ``folder``."""
    image, mounted = folder / "image", folder / "mounted"
    with open(image, "wb") as file:
        file.truncate(16 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", *options, str(image)], check=True, capture_output=True)
    mounted.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True, capture_output=True)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    as_bytes = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    data = None if options is None else options.encode()
    if libc.mount(*as_bytes, ctypes.c_ulong(flags), data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)
