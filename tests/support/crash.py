"""Processes that die in the middle: every step that changes disk or database is counted, and one of them is the last.

These functions run in children of ``support.processes``.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from daemon.deletion.models import What
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


def _ready(site: Site) -> None:
    site.catalog.check()
    site.catalog.root_id()


def delete(
    url: str, root: str, task_id: str, what: str, step: int, only: str | None = None, force: bool = False
) -> list[str]:
    """Delete one task and die before step number ``step`` (of those named ``only``); 0 lives on. The steps taken."""
    with opened(Store(url), Path(root)) as site:
        _ready(site)
        steps = _die_before(step, only)
        site.engine.delete(request(task_id, What(what), force=force))
        return list(steps.taken)


def recover(url: str, root: str, step: int) -> list[str]:
    """Recover, and die before step number ``step``; 0 lives on. The steps taken."""
    with opened(Store(url), Path(root)) as site:
        _ready(site)
        steps = _die_before(step)
        site.recovery.run()
        return list(steps.taken)
