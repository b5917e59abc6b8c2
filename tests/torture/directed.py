"""What the single checks have done in a child process."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daemon.catalog import database
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.rows import TaskRow
from daemon.errors import SweepdError
from daemon.storage import walk
from daemon.storage.standing import Standing
from daemon.storage.trash import TrashEntry
from support import mounts
from support.crash import ready
from support.site import opened, request
from support.stores import Store
from torture.mutants import apply, put
from torture.operations import full_disk


def delete(url: str, root: str, task_id: str, mutant: str | None = None) -> str:
    """Delete one task; ``done``, or the code of the error."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        apply(mutant)
        try:
            site.engine.delete(request(task_id))
        except SweepdError as error:
            return str(error.code)
    return "done"


def delete_guarded(url: str, root: str, task_id: str, mutant: str | None = None) -> None:
    """Delete one task whose guard says no."""

    def refuse(_session: object, rows: Sequence[TaskRow]) -> Mapping[str, str]:
        return {row.task_id: "it is not selected any more" for row in rows}

    with opened(Store(url), Path(root)) as site:
        ready(site)
        apply(mutant)
        site.engine.delete_group([request(task_id, guard=refuse)])


def delete_swapped(url: str, root: str, task_id: str, folder: str, outside: str, mutant: str | None = None) -> None:
    """Delete one task while an attacker makes its ``folder`` a symlink, just before it is opened for removal."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        apply(mutant)
        original: Any = vars(walk)["open_directory"]
        seen = 0

        def swap(parent_fd: int, name: str) -> int:
            nonlocal seen
            if name == folder:
                seen += 1
                if seen == 2:  # the first is the census
                    os.rmdir(name, dir_fd=parent_fd)
                    os.symlink(outside, name, dir_fd=parent_fd)
            fd: int = original(parent_fd, name)
            return fd

        vars(walk)["open_directory"] = swap
        with contextlib.suppress(SweepdError):
            site.engine.delete(request(task_id))


def mounted(folder: str, mutant: str | None = None) -> dict[str, Any] | None:
    """Whether a bind mount inside a task directory survives; None where nothing may be mounted."""
    if not mounts.possible():
        return None
    apply(mutant)
    return mounts.scenario(folder, "bind", "inside", portable=False)


def delete_far(url: str, root: str, root_id: str, task_id: str, mutant: str | None = None) -> None:
    """Delete one task through a proxy: its COMMIT is the first one on the wire."""
    database.LOCK_TIMEOUT_S = 0.3
    with opened(Store(url), Path(root)) as site:
        site.catalog._tables = PipelineTables(has_task_name=True, has_steps=True)
        site.catalog._root_id = root_id
        apply(mutant)
        with contextlib.suppress(SweepdError):
            site.engine.delete(request(task_id))


def pause_in_purge(url: str, root: str, task_id: str) -> None:
    """Delete one task, and stop when it is committed and its files are about to go."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        purge = TrashEntry.purge

        def pause(self: Any, *arguments: Any) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)
            purge(self, *arguments)

        put(TrashEntry, "purge", pause)
        with contextlib.suppress(SweepdError):
            site.engine.delete(request(task_id))


def pause_in_place(url: str, root: str, task_id: str) -> None:
    """Delete one task where it stands, and stop when it is committed and its files are about to go."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        full_disk()
        put(Standing, "purge", lambda *_: os.kill(os.getpid(), signal.SIGSTOP))
        with contextlib.suppress(SweepdError):
            site.engine.delete(request(task_id))


def recover_impatiently(url: str, root: str, mutant: str | None = None) -> None:
    """Recover without waiting long for anybody's lock."""
    database.LOCK_TIMEOUT_S = 0.3
    with opened(Store(url), Path(root)) as site:
        ready(site)
        apply(mutant)
        with contextlib.suppress(SweepdError):
            site.recovery.run()


def purge_expired(url: str, root: str, mutant: str | None = None) -> None:
    """Purge what is due."""
    with opened(Store(url), Path(root)) as site:
        ready(site)
        apply(mutant)
        site.retention.purge_expired()


def wait_until_stopped(pid: int) -> None:
    """Wait for a child that stops itself."""
    end = time.monotonic() + 30
    while "\nState:\tT" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8"):
        assert time.monotonic() < end
        time.sleep(0.001)
