"""What is done to the daemon's core in a child process, which is then killed or given errors.

The child makes everything ready, stops itself so that a tracer can attach, and goes on when it is told to.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from daemon.deletion.models import What
from daemon.storage import trash
from support.crash import ready
from support.site import Site, opened, request
from support.stores import Store
from torture.mutants import apply

Work = Callable[[Site, list[str]], None]

WEEK = timedelta(days=7)
AT_ONCE = timedelta(microseconds=1)


def _delete(what: What, retain: timedelta | None = None) -> Work:
    def work(site: Site, task_ids: list[str]) -> None:
        for task_id in task_ids:
            site.engine.delete(request(task_id, what, retain=retain, force=True))

    return work


def _batch(what: What, retain: timedelta | None = None) -> Work:
    def work(site: Site, task_ids: list[str]) -> None:
        site.engine.delete_group([request(task_id, what, retain=retain) for task_id in task_ids])

    return work


def _restore(site: Site, task_ids: list[str]) -> None:
    for task_id in task_ids:
        site.restorer.restore_task(task_id, "torture")


def _purge(site: Site, task_ids: list[str]) -> None:
    del task_ids
    site.retention.purge_expired()


def _recover(site: Site, task_ids: list[str]) -> None:
    del task_ids
    site.recovery.run()


WORK: dict[str, Work] = {
    "delete-directory": _delete(What.DIRECTORY),
    "delete-records": _delete(What.DIRECTORY_AND_RECORDS),
    "retain-directory": _delete(What.DIRECTORY, WEEK),
    "retain-records": _delete(What.DIRECTORY_AND_RECORDS, WEEK),
    "batch-directory": _batch(What.DIRECTORY),
    "batch-records": _batch(What.DIRECTORY_AND_RECORDS),
    "batch-retain": _batch(What.DIRECTORY_AND_RECORDS, WEEK),
    "restore": _restore,
    "purge": _purge,
    "recover": _recover,
}


def full_disk() -> None:
    """From now on there is room for no entry of the trash."""

    def no_room(*_arguments: Any, **_options: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    vars(trash)["new_entry"] = no_room


def _on_full_disk(work: Work) -> Work:
    def there(site: Site, task_ids: list[str]) -> None:
        full_disk()
        work(site, task_ids)

    return there


WORK |= {
    f"{name}-in-place": _on_full_disk(WORK[name])
    for name in ("delete-directory", "delete-records", "batch-directory", "purge")
}


def operate(url: str, root: str, work: str, task_ids: list[str], mutant: str | None = None) -> str:
    """Do it; ``done``, or the name of what was raised."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        with site.catalog.read():
            pass  # the connection is there
        apply(mutant)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            WORK[work](site, task_ids)
        except Exception as error:
            return type(error).__name__
    return "done"


def recover(url: str, root: str, mutant: str | None = None) -> dict[str, float]:
    """Recover without any fault, as the next daemon does; what its metrics say."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        apply(mutant)
        site.recovery.run()
        return {"files": site.metric("sweepd_deleted_files_total", trigger="api")}
