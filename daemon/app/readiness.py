"""Whether each part of the daemon does its work, and if not, why."""

from __future__ import annotations

import threading

from daemon.web.health import STARTING

COMPONENTS = ("catalog", "storage_root", "journal", "recovery", "clock", "scheduler")


class Readiness:
    """Thread-safe; a component that has not reported yet is starting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, str | None] = dict.fromkeys(COMPONENTS, STARTING)

    def set(self, component: str, problem: str | None) -> bool:
        """Report a component; True if that changes anything."""
        with self._lock:
            changed = self._problems[component] != problem
            self._problems[component] = problem
        return changed

    def snapshot(self) -> dict[str, str | None]:
        """Each component with None, or what is wrong with it."""
        with self._lock:
            return dict(self._problems)
