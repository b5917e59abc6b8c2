"""Keeps things in order beside everything else: settles what was cut off, purges what has waited long enough, forgets.

When the file system runs full, what has waited longest goes first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta

from daemon import clock, log
from daemon.app.services import Services
from daemon.catalog import idempotency, jobs, scans, sweeps
from daemon.config import Config
from daemon.errors import SweepdError

_log = log.get(__name__)
_RECOVER_S = 60.0
# How full the file system is costs one call.
_WATCH_SPACE_S = 5.0
_EXPIRE_S = 10.0
_FORGET_S = 600.0
# How long sweeps and scans are remembered: a year, and the month in which one looks back at it.
_HISTORY = timedelta(days=400)


class Janitor:
    """One thread. ``config`` gives that in force.

    ``may_work`` says whether catalog and root are there; ``may_expire``, whether the clocks agree.
    """

    def __init__(
        self,
        services: Services,
        config: Callable[[], Config],
        may_work: Callable[[], bool],
        may_expire: Callable[[], bool],
    ) -> None:
        self._services = services
        self._config = config
        self._may_work = may_work
        self._may_expire = may_expire
        self.unsettled: int | None = None
        """Entries of the trash that recovery could not settle the last time; None before it has looked."""
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self.thread = threading.Thread(target=self._work, name="janitor", daemon=True)

    def recover(self) -> None:
        """Settle what was cut off. Raises as ``Recovery.run`` does."""
        self._services.recovery.run()
        self.unsettled = self._services.recovery.unsettled

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self.thread.start()

    def recover_soon(self) -> None:
        """Something is back that was away: what was cut off meanwhile is settled now rather than within a minute."""
        self._hurry.set()

    def stop(self) -> None:
        """Finish the purge in hand, and end."""
        self._stopping.set()
        self._services.retention.stop()
        if self.thread.is_alive():
            self.thread.join()

    def _work(self) -> None:
        due = {self._recover: _RECOVER_S, self._expire: 0.0, self._make_room: 0.0, self._forget: 0.0}
        every = {
            self._recover: _RECOVER_S,
            self._expire: _EXPIRE_S,
            self._make_room: _WATCH_SPACE_S,
            self._forget: _FORGET_S,
        }
        at = {job: clock.monotonic() + first for job, first in due.items()}
        while not self._stopping.wait(1.0):
            if self._hurry.is_set() and self._may_work():
                self._hurry.clear()
                at[self._recover] = clock.monotonic()
            for job, when in at.items():
                if clock.monotonic() >= when and not self._stopping.is_set() and self._may_work():
                    self._try(job)
                    at[job] = clock.monotonic() + every[job]

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except (SweepdError, OSError) as error:  # its cause is watched, and told, elsewhere
            _log.error("janitor_failed", job=job.__name__.strip("_"), reason=str(error))
        except Exception:
            _log.exception("janitor_crashed", job=job.__name__.strip("_"))

    def _recover(self) -> None:
        self.recover()
        if self.unsettled:
            _log.warning("trash_unsettled", entries=self.unsettled)

    def _expire(self) -> None:
        if self._clocks_agree():
            self._services.retention.purge_expired()
        self._services.retention.count_waiting()
        self._services.retention.report()
        self._services.holds.report()

    def _forget(self) -> None:
        if not self._clocks_agree():
            return  # a clock that is wrong would forget everything
        before = clock.now() - self._config().server.jobs_keep
        with self._services.catalog.write() as session:
            idempotency.forget(session.connection)
        forgotten = 1
        while forgotten and not self._stopping.is_set():
            with self._services.catalog.write() as session:
                forgotten = jobs.forget(session.connection, before)
        with self._services.catalog.write() as session:
            scans.forget(session.connection, clock.now() - _HISTORY)
        forgotten = 1
        while forgotten and not self._stopping.is_set():
            with self._services.catalog.write() as session:
                forgotten = sweeps.forget(session.connection, clock.now() - _HISTORY)

    def _clocks_agree(self) -> bool:
        """What expires is gone for good: the last look at the clocks may have been before one jumped."""
        return self._may_expire() and self._services.clock_guard.problem() is None

    def _make_room(self) -> None:
        make_room(self._services, self._config())


def tidy(services: Services) -> None:
    """Purge what has waited long enough, and for room what has waited longest: where no daemon does it.

    Raises SweepdError.
    """
    if services.clock_guard.problem() is None:
        services.retention.purge_expired()
    make_room(services, services.config)


def make_room(services: Services, config: Config) -> None:
    """Purge what has waited longest while less than ``trash.min_free`` is free. Raises SweepdError."""

    def is_full() -> bool:
        space = os.statvfs(services.root.path)
        wanted = config.trash.min_free.of(space.f_blocks * space.f_frsize)
        return space.f_bavail * space.f_frsize < wanted

    services.retention.purge_oldest(is_full)
