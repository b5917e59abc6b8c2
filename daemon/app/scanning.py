"""Scans the storage root at the daemon's start and then regularly, beside everything else."""

from __future__ import annotations

import threading
from collections.abc import Callable

from daemon import clock, log
from daemon.app.services import Services
from daemon.errors import SweepdError

_log = log.get(__name__)
_RETRY_S = 60.0


class Scanning:
    """One thread. ``may_work`` says whether catalog and root are there."""

    def __init__(self, services: Services, may_work: Callable[[], bool]) -> None:
        self._scanner = services.scanner
        self._config = services.config.inventory
        self._may_work = may_work
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="scanning", daemon=True)

    def start(self) -> None:
        """Begin, without waiting for anything, if the configuration wants it."""
        if self._config.enabled:
            self._thread.start()

    def stop(self) -> None:
        """End the scan under way, and the thread."""
        self._stopping.set()
        self._scanner.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        self._try(self._scanner.remember)
        due = clock.monotonic()
        while not self._stopping.wait(1.0):
            began = clock.monotonic()
            if began >= due and self._may_work():
                done = self._try(self._scanner.scan)
                due = began + self._config.every.total_seconds() if done else clock.monotonic() + _RETRY_S

    def _try(self, job: Callable[[], object]) -> bool:
        try:
            job()
        except SweepdError as error:  # its cause is watched, and told, elsewhere
            _log.error("scan_failed", error=error.code, reason=str(error))
        except Exception:
            _log.exception("scan_crashed")
        else:
            return True
        return False
