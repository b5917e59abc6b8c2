"""Checks of single rules, each with the mutants it has to catch. All raise AssertionError when a rule is broken."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.auditor import DELETED, KEPT, audit_task
from support.processes import ForkServer
from support.site import Site
from support.tcp_proxy import Cut, TcpProxy
from support.trees import fill, snapshot
from torture import directed, tracer
from torture.scenarios import SCENARIOS, Scenario


@dataclass(frozen=True)
class Lane:
    """One database with its storage root, and the children to torture it with."""

    kind: str
    site: Site
    server: ForkServer
    server_port: int | None

    def clean(self) -> None:
        """Forget everything, after something went wrong: the next point begins on a clean table."""
        for folder in self.site.path.iterdir():
            if folder.name != ".sweepd":
                shutil.rmtree(folder, ignore_errors=True)
        for name in ("trash", "retained", "quarantine", "reserve"):
            shutil.rmtree(self.site.path / ".sweepd" / name, ignore_errors=True)
        (self.site.path / ".sweepd" / "marks").unlink(missing_ok=True)  # of the journal that is emptied now
        tables = ("data_pipeline_task_steps", "data_pipeline_tasks", "sweepd_deletions", "sweepd_snapshots")
        for table in tables:
            self.site.store.query(f"DELETE FROM {table}")

    @property
    def where(self) -> dict[str, Any]:
        return {"url": self.site.store.url, "root": str(self.site.path)}


Check = Callable[[Lane, str | None], None]


def scenario(name: str) -> Scenario:
    """The scenario of that name."""
    return next(one for one in SCENARIOS if one.name == name)


def killed(chosen: Scenario, call: str, numbers: range) -> Check:
    """Kill it before each of these system calls, recover, judge; also that nothing is counted twice."""

    def check(lane: Lane, mutant: str | None) -> None:
        for number in numbers:
            tasks = chosen.prepare(lane.site)
            names = [task.task_id for task in tasks]
            inject = f"{call}:signal=KILL:when={number}"
            function = "torture.operations:operate"
            ended = tracer.run(
                lane.server, inject, function, **lane.where, work=chosen.work, task_ids=names, mutant=mutant
            )
            journal = [entry["state"] for name in names for entry in lane.site.store.ledger(name)]
            after = lane.server.run("torture.operations:recover", **lane.where, mutant=mutant).value
            chosen.judge(lane.site, tasks)
            assert "purged" not in journal or after["files"] == 0, "counted twice"
            if ended.killed_by is None:
                return

    return check


def order(lane: Lane, mutant: str | None) -> None:
    """Each step is durable before the next: manifest, move, commit, census, first unlink."""
    tasks = scenario("delete/large").prepare(lane.site)
    lines = tracer.calls(
        lane.server,
        "torture.operations:operate",
        **lane.where,
        work="delete-directory",
        task_ids=[tasks[0].task_id],
        mutant=mutant,
    )
    marks = [
        r"fsync\(\d+<.*/manifest\.json>",
        r"fsync\(\d+<.*/trash/[0-9a-f]{28}>",
        r"fsync\(\d+<.*/trash>",
        rf"renameat2\(\d+<.*>, \"{tasks[0].task_id}\"",
        r"fsync\(\d+<.*/trash/[0-9a-f]{28}>",
        r"fsync\(\d+<.*/root>",
        r"sendto\(.*COMMIT|fdatasync\(\d+<.*-wal>|pwrite64\(\d+<.*-wal>",
        r"fsync\(\d+<.*\.census\.tmp>",
        r"renameat\d?\(.*\.census\"",
        r"fsync\(\d+<.*/trash/[0-9a-f]{28}>",
        r"unlinkat\(\d+<.*/[0-9a-f]{28}\.purge",
    ]
    at = 0
    for mark in marks:
        found = next((n for n in range(at, len(lines)) if re.search(mark, lines[n])), None)
        assert found is not None, f"no {mark} after line {at}: {lines[at - 1] if at else ''}"
        at = found + 1
    first_move = next(n for n, line in enumerate(lines) if "renameat2(" in line and tasks[0].task_id in line)
    first_unlink = next(n for n, line in enumerate(lines) if "unlinkat(" in line and ".purge" in line)
    assert first_move < first_unlink


def late_commit(lane: Lane, mutant: str | None) -> None:
    """A COMMIT that arrives after recovery has put the directory back cannot happen any more."""
    _through_proxy(lane, mutant, Cut.DELAYED)


def lost_answer(lane: Lane, mutant: str | None) -> None:
    """The database has committed, and its answer is lost: the deletion goes on."""
    _through_proxy(lane, mutant, Cut.AFTER)


def _through_proxy(lane: Lane, mutant: str | None, cut: Cut) -> None:
    if lane.server_port is None:
        return
    before = scenario("delete/kept-records").prepare(lane.site)[0]
    proxy = TcpProxy(lane.server_port)
    try:
        url = lane.site.store.url.replace(f":{lane.server_port}/", f":{proxy.port}/")
        proxy.cut = cut
        far = {"url": url, "root": str(lane.site.path), "root_id": lane.site.catalog.root_id()}
        lane.server.run("torture.directed:delete_far", **far, task_id=before.task_id, mutant=mutant)
        lane.server.run("torture.directed:recover_impatiently", **lane.where, mutant=mutant)
        if cut is Cut.DELAYED:
            proxy.deliver()
        lane.server.run("torture.directed:recover_impatiently", **lane.where, mutant=mutant)
    finally:
        proxy.close()
    assert audit_task(lane.site.store, lane.site.path, before) in (KEPT, DELETED)
    assert lane.site.entries() == []


def name_taken(lane: Lane, mutant: str | None) -> None:
    """What is put back, or restored, never takes the place of something that was made meanwhile."""
    one = scenario("delete/kept-records")
    before = one.prepare(lane.site)[0]
    options: dict[str, Any] = {"what": "directory", "step": 1, "only": "do_commit"}
    ended = lane.server.run("support.crash:delete", **lane.where, task_id=before.task_id, **options)
    assert ended.killed_by is signal.SIGKILL
    made = lane.site.path / before.task_id
    made.mkdir()
    inode = made.stat().st_ino
    lane.server.run("torture.operations:recover", **lane.where, mutant=mutant)
    assert made.exists()
    assert made.stat().st_ino == inode, "an empty directory of that name was replaced"
    made.rmdir()
    lane.site.recovery.run()
    one.judge(lane.site, [before])


def running(lane: Lane, mutant: str | None) -> None:
    """A task that runs when its row is locked stays, whatever it was before."""
    before = lane.site.task(f"task_running_{os.urandom(4).hex()}", status="in_progress")
    said = lane.server.run("torture.directed:delete", **lane.where, task_id=before.task_id, mutant=mutant).value
    assert said == "TASK_RUNNING", said
    assert audit_task(lane.site.store, lane.site.path, before) == KEPT


def guarded(lane: Lane, mutant: str | None) -> None:
    """A task its policy does not select any more stays."""
    before = scenario("delete/kept-records").prepare(lane.site)[0]
    lane.server.run("torture.directed:delete_guarded", **lane.where, task_id=before.task_id, mutant=mutant)
    assert audit_task(lane.site.store, lane.site.path, before) == KEPT


def links(lane: Lane, mutant: str | None) -> None:
    """A directory that becomes a symlink between its listing and its opening: what it leads to stays."""
    outside = fill(lane.site.path.parent / f"outside-{os.urandom(4).hex()}")
    tree = snapshot(outside)
    before = lane.site.task(f"task_links_{os.urandom(4).hex()}")
    lane.server.run(
        "torture.directed:delete_swapped",
        **lane.where,
        task_id=before.task_id,
        folder="empty",
        outside=str(outside),
        mutant=mutant,
    )
    lane.site.recovery.run()
    assert snapshot(outside) == tree, "files outside the root are gone"


def mounts(lane: Lane, mutant: str | None) -> None:
    """What is mounted inside a task directory stays."""
    folder = lane.site.path.parent / f"mounts-{os.urandom(4).hex()}"
    folder.mkdir()
    found = lane.server.run("torture.directed:mounted", folder=str(folder), mutant=mutant).value
    assert found is None or found["mounted"], "files on another mount are gone"


def locked(lane: Lane, mutant: str | None) -> None:
    """Recovery leaves alone what somebody alive works on."""
    before = scenario("delete/kept-records").prepare(lane.site)[0]
    child = lane.server.spawn("torture.directed:pause_in_purge", **lane.where, task_id=before.task_id)
    directed.wait_until_stopped(child.pid)
    lane.server.run("torture.directed:recover_impatiently", **lane.where, mutant=mutant)
    settled = not lane.site.entries()
    os.kill(child.pid, signal.SIGCONT)
    child.wait()
    lane.site.recovery.run()
    assert not settled, "recovery took what was being worked on"
    assert audit_task(lane.site.store, lane.site.path, before) in (KEPT, DELETED)


def in_time(lane: Lane, mutant: str | None) -> None:
    """What is retained for a week is there after a purge of what is due."""
    one = scenario("restore/records")
    tasks = one.prepare(lane.site)
    lane.server.run("torture.directed:purge_expired", **lane.where, mutant=mutant)
    one.judge(lane.site, tasks)


def identity(lane: Lane, mutant: str | None) -> None:
    """Another root in its place makes no task a deleted one."""
    before = scenario("delete/kept-records").prepare(lane.site)[0]
    other: Path = lane.site.path.with_name(f"other-{os.urandom(4).hex()}")
    (other / ".sweepd").mkdir(parents=True)
    where = {"url": lane.site.store.url, "root": str(other)}
    lane.server.run("torture.directed:delete", **where, task_id=before.task_id, mutant=mutant)
    assert lane.site.store.task(before.task_id) == before.row, "a row was changed for what is not there"


def made_anew(lane: Lane, mutant: str | None) -> None:
    """A directory that was made after a deletion in place was cut off stays, and the deletion is finished."""
    before = scenario("in-place/kept-records").prepare(lane.site)[0]
    child = lane.server.spawn("torture.directed:pause_in_place", **lane.where, task_id=before.task_id)
    directed.wait_until_stopped(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    old = lane.site.path / before.task_id
    old.rename(lane.site.path.parent / f"old-{os.urandom(4).hex()}")
    tree = snapshot(fill(old, 2))
    lane.server.run("torture.operations:recover", **lane.where, mutant=mutant)
    assert old.exists(), "a directory that was made anew is gone"
    assert snapshot(old) == tree, "files of a directory that was made anew are gone"
    shutil.rmtree(old)
    assert [entry["state"] for entry in lane.site.store.ledger(before.task_id)] == ["purged"]


# What is tried, and which mutants have to fail it.
CHECKS: dict[str, tuple[Check, tuple[str, ...]]] = {
    "each step durable before the next": (
        order,
        (
            "manifest not synced",
            "entry not synced",
            "trash not synced",
            "root not synced after the move",
            "census not synced",
        ),
    ),
    "killed around the move": (
        killed(scenario("delete/kept-records"), "renameat2", range(1, 4)),
        (),
    ),
    "killed around the commit": (
        killed(scenario("delete/kept-records"), "fsync", range(1, 9)),
        ("manifest after move", "uncommitted entry purged"),
    ),
    "killed before anything moved": (
        killed(scenario("delete/large"), "renameat2", range(1, 2)),
        ("commit before move",),
    ),
    "killed in the purge": (
        killed(scenario("delete/large"), "unlinkat", range(100, 102)),
        ("no census before the purge",),
    ),
    "killed after the purge": (
        killed(scenario("delete/kept-records"), "unlinkat", range(7, 10)),
        ("purge counted again",),
    ),
    "restore killed around the move": (
        killed(scenario("restore/records"), "fsync", range(1, 7)),
        ("restore without a manifest",),
    ),
    "a COMMIT that comes late": (late_commit, ("no tombstone before putting back",)),
    "a COMMIT whose answer is lost": (lost_answer, ("lost answer of COMMIT taken for a no",)),
    "a name that is taken": (name_taken, ("put back without NOREPLACE",)),
    "a task that runs": (running, ("running not asked under the lock",)),
    "a task its policy lets go": (guarded, ("policy not asked under the lock",)),
    "a symlink put in the way": (links, ("symlinks followed",)),
    "a mount inside": (mounts, ("mounts crossed",)),
    "an entry somebody works on": (locked, ("entry not locked",)),
    "a retention of a week": (in_time, ("purged before its time",)),
    "a directory made anew where one was removed": (made_anew, ("in place without a proof of identity",)),
    "in place, killed around the commit": (
        killed(scenario("in-place/kept-records"), "unlinkat", range(1, 3)),
        ("in place before the commit",),
    ),
    "in place, killed in the removal": (
        killed(scenario("in-place/large"), "unlinkat", range(100, 102)),
        ("in place without counts in the journal",),
    ),
    "another root in its place": (identity, ("root not identified",)),
}

TRACED = frozenset(name for name in CHECKS if name.startswith(("each step", "killed", "restore killed", "in place,")))
"""Those that need a tracer."""
