"""Many want to delete the same tasks at once: each goes once, is counted once, and every caller gets a true answer."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2.errors
import pytest
import sqlalchemy as sa

from daemon.catalog import tasks
from daemon.deletion.models import What
from support.auditor import DELETED, audit
from support.crash import attempt
from support.processes import ForkServer
from support.site import Site, opened, request

TASKS = 30
# To the one who comes second the row says that the directory is gone, or (an orphan has none) that nothing is there
# any more, or that somebody is at it.
SECOND = {"gone", "TASK_CHANGED", "TASK_NOT_FOUND", "TASK_BUSY"}


def task_ids(number: int = TASKS) -> list[str]:
    return [f"task_{index:02}" for index in range(number)]


@pytest.mark.parametrize("what", [What.DIRECTORY, What.DIRECTORY_AND_RECORDS])
def test_two_threads_delete_each_task_once(site: Site, what: What) -> None:
    before = [site.task(task_id) for task_id in task_ids()]
    together = threading.Barrier(2)

    def work() -> list[str]:
        together.wait()
        return [attempt(site, task_id, what=what) for task_id in task_ids()]

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(work), pool.submit(work)])
    for one, other in zip(first, second, strict=True):
        assert [one, other].count("deleted") == 1
        assert {one, other} - {"deleted"} <= SECOND
    assert set(audit(site.store, site.path, before).values()) == {DELETED}
    assert site.metric("sweepd_deleted_files_total", trigger="api") == sum(task.counts[0] for task in before)


def test_two_processes_delete_each_task_once(site: Site, processes: ForkServer) -> None:
    before = [site.task(task_id) for task_id in task_ids()]
    arguments = {"url": site.store.url, "root": str(site.path), "task_ids": task_ids(), "start": time.time() + 0.3}
    children = [processes.spawn("support.crash:delete_many", **arguments) for _ in range(2)]
    first, second = (child.wait().value for child in children)
    for task_id in task_ids():
        said = [first[task_id], second[task_id]]
        assert said.count("deleted") == 1
        assert set(said) - {"deleted"} <= SECOND
    assert set(audit(site.store, site.path, before).values()) == {DELETED}


def test_an_orphan_that_two_want_goes_once(site: Site) -> None:
    before = [site.directory(task_id) for task_id in task_ids(12)]

    def work() -> list[str]:
        return [attempt(site, task_id, force=True) for task_id in task_ids(12)]

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(work), pool.submit(work)])
    for said in zip(first, second, strict=True):
        assert said.count("deleted") == 1
        assert set(said) - {"deleted"} <= SECOND
    assert set(audit(site.store, site.path, before).values()) == {DELETED}


def test_eight_threads_on_tasks_of_their_own_do_not_get_in_each_others_way(site: Site) -> None:
    before = [site.task(task_id) for task_id in task_ids(12)]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda task_id: attempt(site, task_id), task_ids(12)))
    assert Counter(said) == {"deleted": 12}
    assert set(audit(site.store, site.path, before).values()) == {DELETED}


def test_recovery_leaves_alone_what_somebody_works_on(site: Site) -> None:
    """Recovery runs all the while, in an engine of its own, and settles nothing of the living."""
    before = [site.task(task_id, files=12) for task_id in task_ids(12)]
    stop = threading.Event()
    settled: Counter[str] = Counter()

    def recover() -> None:
        with opened(site.store, site.path) as other:
            while not stop.is_set():
                settled.update(other.recovery.run())

    thread = threading.Thread(target=recover)
    thread.start()
    try:
        said = [attempt(site, task_id) for task_id in task_ids(12)]
    finally:
        stop.set()
        thread.join()
    assert said == ["deleted"] * 12
    assert set(settled) <= {"busy", "leftover"}
    assert set(audit(site.store, site.path, before).values()) == {DELETED}


def test_a_task_that_starts_running_before_its_lock_is_had_is_not_deleted(postgres_site: Site) -> None:
    """The pipeline sets the status in a transaction that the deletion has to wait for."""
    site = postgres_site
    site.task("task_1")
    said: list[str] = []
    with site.store.locking("task_1") as cursor:
        thread = threading.Thread(target=lambda: said.append(attempt(site, "task_1")))
        thread.start()
        time.sleep(0.2)
        cursor.execute("UPDATE data_pipeline_tasks SET status = 'in_progress' WHERE task_id = 'task_1'")
        cursor.connection.commit()
        thread.join()
    assert said == ["TASK_RUNNING"]
    assert (site.path / "task_1").is_dir()
    row = site.store.task("task_1")
    assert row is not None
    assert row["directory_exists"] is True


def test_a_step_that_starts_waits_for_the_deletion_or_stops_it(postgres_site: Site) -> None:
    """A new step refers to its task's row, which the deletion holds: it cannot appear unseen."""
    site = postgres_site
    site.task("task_1")
    seen: list[str] = []

    def insert() -> None:
        site.store.add_step("task_1", "running")
        seen.append("inserted")

    def guard(_session: object, _rows: object) -> dict[str, str]:
        thread = threading.Thread(target=insert)
        thread.start()
        thread.join(0.3)
        seen.append("claimed")
        threads.append(thread)
        return {}

    threads: list[threading.Thread] = []
    site.engine.delete(request("task_1", guard=guard))
    threads[0].join()
    assert seen == ["claimed", "inserted"]


def test_a_row_that_comes_between_the_first_look_and_the_reading_is_locked_too(
    postgres_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, seen = postgres_site, []
    site.task("task_1")
    made = tasks._locking

    def before_it_came(*arguments: Any, alone: bool) -> tuple[Any, ...]:
        claim, steps, read = made(*arguments, alone=alone)
        return claim.where(sa.false()), steps, read

    def guard(_session: object, _rows: object) -> dict[str, str]:
        try:
            with site.store.locking("task_1", wait=False):
                seen.append("free")
        except psycopg2.errors.LockNotAvailable:
            seen.append("locked")
        return {}

    monkeypatch.setattr(tasks, "_locking", before_it_came)
    site.engine.delete(request("task_1", guard=guard))
    assert seen == ["locked"]
