"""Whether each part of the daemon does its work, and if not, why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from daemon import clock
from daemon.web.health import STARTING

COMPONENTS = ("catalog", "storage_root", "journal", "recovery", "clock", "scheduler")
PATIENCE_S: Final = 15.0
"""A look at a component that takes longer is a problem."""


class Readiness:
    """Thread-safe; a component that has not reported yet is starting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, str | None] = dict.fromkeys(COMPONENTS, STARTING)
        self._asked: dict[str, float] = {}

    @contextmanager
    def asking(self, component: str) -> Iterator[None]:
        """While it is looked at: a look that does not end is a problem too, since a database may hang."""
        with self._lock:
            self._asked[component] = clock.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._asked.pop(component, None)

    def set(self, component: str, problem: str | None) -> bool:
        """Report a component; True if that changes anything."""
        with self._lock:
            changed = self._problems[component] != problem
            self._problems[component] = problem
        return changed

    def snapshot(self) -> dict[str, str | None]:
        """Each component with None, or what is wrong with it."""
        now = clock.monotonic()
        with self._lock:
            silent = {component: now - since for component, since in self._asked.items() if now - since > PATIENCE_S}
            return self._problems | {
                component: f"it has not answered for {seconds:.0f} s: it hangs, or the way to it is cut"
                for component, seconds in silent.items()
            }
