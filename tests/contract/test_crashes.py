"""kill -9 before every step of a deletion and of a recovery; afterwards all of it has happened, or nothing."""

from __future__ import annotations

import os
import signal
from itertools import count

import pytest

from daemon.deletion.models import What
from support.auditor import DELETED, KEPT, audit, audit_task
from support.processes import ForkServer
from support.site import Site

WHATS = [What.DIRECTORY, What.DIRECTORY_AND_RECORDS]
# Every pair of a first and a second kill is some 2,000 runs; by default one in so many of the second ones.
STRIDE = 1 if os.environ.get("TORTURE") else 7
# Deletions with their records are killed before every step; those without differ in one statement.
STRIDES = {What.DIRECTORY: min(STRIDE, 3), What.DIRECTORY_AND_RECORDS: 1}


def kill_deletion(site: Site, processes: ForkServer, task_id: str, what: What, step: int, **more: object) -> bool:
    """Delete, and die before that step; False if there was no such step any more."""
    ended = processes.run(
        "support.crash:delete",
        url=site.store.url,
        root=str(site.path),
        task_id=task_id,
        what=what,
        step=step,
        force=True,
        **more,
    )
    assert ended.killed_by in (None, signal.SIGKILL)
    return ended.killed_by is not None


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.costly
def test_a_deletion_killed_before_any_step_is_whole_or_has_not_happened(
    site: Site, processes: ForkServer, what: What
) -> None:
    tasks, fates = [], []
    for step in count(1, STRIDES[what]):
        tasks.append(site.task(f"task_{step}"))
        was_killed = kill_deletion(site, processes, f"task_{step}", what, step)
        site.recovery.run()
        assert site.entries() == []
        fates.append(audit_task(site.store, site.path, tasks[-1]))
        if not was_killed:
            break
    audit(site.store, site.path, tasks)
    assert len(fates) > 30 / STRIDES[what]
    committed = fates.index(DELETED)
    assert fates == [KEPT] * committed + [DELETED] * (len(fates) - committed)
    assert 10 < committed * STRIDES[what] < 30


@pytest.mark.parametrize(
    ("before", "number", "fate"),
    [("do_commit", 1, KEPT), ("do_rollback", 1, DELETED), ("unlink", 3, DELETED), ("do_commit", 2, DELETED)],
    ids=["not-committed", "committed", "half-purged", "not-recorded"],
)
@pytest.mark.parametrize("what", WHATS)
def test_a_recovery_killed_before_any_step_is_finished_by_the_next(
    site: Site, processes: ForkServer, what: What, before: str, number: int, fate: str
) -> None:
    tasks = []
    start = 1 + (len(before) + number) % STRIDE
    for step in count(start, STRIDE):
        tasks.append(site.task(f"task_{step}"))
        assert kill_deletion(site, processes, f"task_{step}", what, number, only=before)
        ended = processes.run("support.crash:recover", url=site.store.url, root=str(site.path), step=step)
        site.recovery.run()
        assert site.entries() == []
        assert audit_task(site.store, site.path, tasks[-1]) == fate
        if ended.killed_by is None:
            break
    assert set(audit(site.store, site.path, tasks).values()) == {fate}
    assert len(tasks) > 10 / STRIDE


def test_an_orphan_killed_before_any_step_is_whole_or_gone(site: Site, processes: ForkServer) -> None:
    orphans = []
    for step in count(1, STRIDE):
        orphans.append(site.directory(f"manual_{step}"))
        was_killed = kill_deletion(site, processes, f"manual_{step}", What.DIRECTORY, step)
        site.recovery.run()
        audit_task(site.store, site.path, orphans[-1])
        if not was_killed:
            break
    assert set(audit(site.store, site.path, orphans).values()) == {KEPT, DELETED}


@pytest.mark.costly
def test_a_purge_of_5000_files_killed_again_and_again_counts_each_of_them_once(
    site: Site, processes: ForkServer
) -> None:
    before = site.task("task_1", files=5000)
    assert kill_deletion(site, processes, "task_1", What.DIRECTORY, 2500, only="unlink")
    (entry,) = site.entries()
    left = [sum(path.is_file() for path in site.held(entry).rglob("*"))]
    assert left == [2501]
    for step in (1000, 1200):
        processes.run("support.crash:recover", url=site.store.url, root=str(site.path), step=step)
        left.append(sum(path.is_file() for path in site.held(entry).rglob("*")))
    assert 0 < left[2] < left[1] < left[0]
    assert dict(site.recovery.run()) == {"finished": 1}
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}
    assert before.counts[0] == 5000
    assert site.metric("sweepd_deleted_files_total", trigger="api") == 5000


def test_what_a_dead_process_held_is_free(site: Site, processes: ForkServer) -> None:
    """Neither its row locks nor its locks in the trash outlive it."""
    before = site.task("task_1")
    assert kill_deletion(site, processes, "task_1", What.DIRECTORY, 1, only="do_commit")
    assert dict(site.recovery.run()) == {"undone": 1}
    assert not kill_deletion(site, processes, "task_1", What.DIRECTORY, 0)
    assert audit(site.store, site.path, [before]) == {"task_1": DELETED}
