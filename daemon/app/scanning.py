"""Scans the storage root at the daemon's start and then regularly, beside everything else."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from daemon import clock, log
from daemon.app.services import Services
from daemon.config import Config
from daemon.errors import SweepdError

_log = log.get(__name__)
_RETRY_S = 60.0


class Scanning:
    """One thread. ``config`` gives that in force, ``may_work`` says whether catalog and root are there."""

    def __init__(self, services: Services, config: Callable[[], Config], may_work: Callable[[], bool]) -> None:
        self._scanner = services.scanner
        self._config = config
        self._may_work = may_work
        self._stopping = threading.Event()
        self.thread = threading.Thread(target=self._work, name="scanning", daemon=True)

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self.thread.start()

    def stop(self) -> None:
        """End the scan under way, and the thread."""
        self._stopping.set()
        self._scanner.stop()
        if self.thread.is_alive():
            self.thread.join()

    def _work(self) -> None:
        self._try(self._scanner.remember)
        began, retry_at = -math.inf, -math.inf
        while not self._stopping.wait(1.0):
            inventory = self._config().inventory  # a reload may change it, and so when the next scan is due
            now = clock.monotonic()
            due = now >= max(began + inventory.every.total_seconds(), retry_at)
            if inventory.enabled and due and self._may_work():
                began = now
                if not self._try(self._scanner.scan):
                    began, retry_at = -math.inf, clock.monotonic() + _RETRY_S

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
