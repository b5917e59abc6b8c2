"""Processes that die in the middle: every step that changes disk or database is counted, and one of them is the last.

These functions run in children of ``support.processes``.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from daemon.catalog.pipeline import PipelineTables
from daemon.deletion.models import Origin, What
from daemon.errors import SweepdError
from daemon.jobs.journal import Journal
from daemon.jobs.work import JobWork
from daemon.storage import moves
from support.site import Site, opened, request
from support.stores import Store

# The calls through which the daemon changes anything; do_execute also carries BEGIN.
_OS = ("mkdir", "open", "fsync", "replace", "rename", "unlink", "rmdir")
_DIALECT = ("do_execute", "do_commit", "do_rollback")


class _Steps:
    """Counts steps; before number ``last`` the process is gone."""

    def __init__(self, last: int, only: str | None) -> None:
        self.taken: list[str] = []
        self._last = last
        self._only = only

    def before(self, name: str) -> None:
        if self._only in (None, name):
            self.taken.append(name)
            if len(self.taken) == self._last:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: Any, name: str) -> None:
        wrapped: Callable[..., Any] = getattr(owner, name)

        def step(*args: Any, **kwargs: Any) -> Any:
            self.before(name)
            return wrapped(*args, **kwargs)

        setattr(owner, name, step)


def _die_before(last: int, only: str | None = None) -> _Steps:
    steps = _Steps(last, only)
    for name in _OS:
        steps.watch(os, name)
    for name in _DIALECT:
        steps.watch(DefaultDialect, name)
    steps.watch(moves, "rename_noreplace")
    steps.watch(fcntl, "flock")
    return steps


def ready(site: Site) -> None:
    site.catalog._tables = PipelineTables(has_task_name=True, has_steps=True)  # to look costs as much as to delete
    site.catalog.root_id()


def delete(
    url: str, root: str, task_id: str, what: str, step: int, only: str | None = None, force: bool = False
) -> list[str]:
    """Delete one task and die before step number ``step`` (of those named ``only``); 0 lives on. The steps taken."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        steps = _die_before(step, only)
        site.engine.delete(request(task_id, What(what), force=force, reason="a crash", origin=Origin("10.1.2.3", "9f")))
        return list(steps.taken)


def restore(url: str, root: str, deletion_id: str, step: int) -> list[str]:
    """Restore one deletion and die before its so-manyth COMMIT; 0 lives on. The steps taken."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        steps = _die_before(step, "do_commit")
        site.restorer.restore(deletion_id, "test")
        return list(steps.taken)


def recover(url: str, root: str, step: int) -> list[str]:
    """Recover, and die before step number ``step``; 0 lives on. The steps taken."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        steps = _die_before(step)
        site.recovery.run()
        return list(steps.taken)


def delete_many(url: str, root: str, task_ids: list[str], start: float) -> dict[str, str]:
    """Delete all of them, beginning at the instant ``start``; what was said of each: deleted, gone, or its error."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        while time.time() < start:
            pass
        return {task_id: attempt(site, task_id) for task_id in task_ids}


def attempt(site: Site, task_id: str, **options: Any) -> str:
    """Delete one task; deleted, gone (there was no directory any more), or the code of its error."""
    try:
        outcome = site.engine.delete(request(task_id, **options))
    except SweepdError as error:
        return str(error.code)
    return "deleted" if outcome.directory_deleted else "gone"


def _become(site: Site, uid: int) -> None:
    ready(site)
    site.catalog.close()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def delete_group_as(url: str, root: str, task_ids: list[str], uid: int) -> dict[str, str]:
    """Delete a group of tasks as another user; what was said of each: deleted, or its error."""
    with opened(Store(url), Path(root)) as site:
        _become(site, uid)
        results = site.engine.delete_group([request(task_id) for task_id in task_ids])
        said = [str(result.code) if isinstance(result, SweepdError) else "deleted" for result in results]
        return dict(zip(task_ids, said, strict=True))


def delete_as(url: str, root: str, task_id: str, uid: int) -> list[str]:
    """Delete one task as another user: what was said, the path it names, and the names left in the root."""
    with opened(Store(url), Path(root)) as site:
        _become(site, uid)
        try:
            site.engine.delete(request(task_id))
        except SweepdError as error:
            return [str(error.code), str(error.details.get("path")), str(error.details.get("errno"))]
        return ["deleted"]


def run_job(url: str, root: str, job_id: str, step: int) -> int:
    """Run a job and die before step number ``step``; 0 lives on. How many of its tasks were noted."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        work = job_work(site, job_id)
        _die_before(step)
        return finish_job(work)


def job_work(site: Site, job_id: str) -> JobWork:
    """The job, as a daemon that has just started goes on with it."""
    return JobWork(site.engine, site.catalog, Journal(site.catalog).find(job_id).job)


def finish_job(work: JobWork) -> int:
    """Run it to its end; how many of its tasks were noted."""
    noted = 0
    while not work.ended:
        noted += len(work.step())
        time.sleep(work.wait_s)
    return noted
