"""Whether the clocks can be believed: ages and retention are worth nothing on a wrong one."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from daemon import clock
from daemon.catalog.catalog import Catalog
from daemon.clock import Moment
from daemon.policy.values import format_duration

# Clocks kept by NTP agree within a second; policies count in hours and days.
MOST_SKEW: Final = timedelta(minutes=5)
LONGEST_OFF: Final = timedelta(days=1)
"""So long may the machine have been off before a clock that nothing synchronizes needs a person's word."""
_MOST_DRIFT: Final = 0.0005
"""The kernel slews its clock by no more; what NTP sets right in small steps is no jump."""
_KEEP_EVERY: Final = timedelta(minutes=1)


class Memory(Protocol):
    """Keeps the last moment that was believed, so that it outlives the process."""

    def read(self) -> Moment | None:
        """Return it; None if there is none yet. Raises RootUnavailable."""

    def write(self, moment: Moment) -> None:
        """Keep it. Never raises: the moment before is as good a witness."""


class InProcess:
    """Forgets with the process."""

    def __init__(self) -> None:
        self._moment: Moment | None = None

    def read(self) -> Moment | None:
        return self._moment

    def write(self, moment: Moment) -> None:
        self._moment = moment


@dataclass(frozen=True, slots=True)
class Jump:
    """How far this machine's clock is from where it should be. ``rebooted``: no more is known than when it was off."""

    by: timedelta
    most: timedelta
    since: datetime
    rebooted: bool

    @property
    def is_too_far(self) -> bool:
        return abs(self.by) > self.most

    def __str__(self) -> str:
        where = "ahead" if self.by > timedelta() else "behind"
        far = format_duration(abs(self.by))
        right = "if it is right, run: sweepd accept-clock"
        if self.rebooted and self.by > timedelta():
            return (
                f"the clock of this machine is {far} ahead of {self.since:%Y-%m-%dT%H:%M:%SZ}, when sweepd believed it "
                "last, the machine was started since, and nothing has synchronized its clock yet; "
                f"sweeps go on by themselves once it is synchronized (NTP); {right}"
            )
        return (
            f"the clock of this machine jumped: it is {far} {where} of what it should be since "
            f"{self.since:%Y-%m-%dT%H:%M:%SZ}, when sweepd believed it last; set it right (NTP); {right}"
        )


class ClockGuard:
    """Compares this machine's clock with the database's, and with the last time that was believed. Thread-safe.

    While the machine runs, the time since its start tells exactly how much may have passed, over restarts of sweepd
    too. Once it was off, any time may have passed: up to ``LONGEST_OFF`` is believed, more if the kernel knows its
    clock to be synchronized.
    """

    def __init__(self, catalog: Catalog, memory: Memory | None = None, most: timedelta = MOST_SKEW) -> None:
        self._catalog = catalog
        self._memory = memory or InProcess()
        self._most = most
        self._lock = threading.Lock()
        self._believed: Moment | None = None
        self._kept: timedelta | None = None
        self.last: tuple[timedelta, timedelta] | None = None

    def look(self) -> tuple[timedelta, timedelta]:
        """This machine's clock less the database's, and how far it has jumped since it was believed last.

        ``last`` keeps them. Raises as below.
        """
        skew, jump, _ = self._look()
        return skew, jump.by

    def problem(self) -> str | None:
        """Why nothing may be enforced now; None if the clocks agree.

        Raises CatalogUnavailable, CatalogNotReady, and RootUnavailable if what was believed last cannot be read.
        A jump of this machine's clock stands until the clock has jumped back, or a person has accepted it.
        """
        skew, jump, here = self._look()
        if (problem := self._apart(skew)) is not None:
            return problem
        if jump.is_too_far:
            return str(jump)
        self._keep(here)
        return None

    def accept(self) -> str | None:
        """Believe this machine's clock from now on, on a person's word; what was the matter, None if nothing.

        Raises as ``problem`` does, and ValueError if the database's clock says otherwise.
        """
        problem = self.problem()
        if problem is None:
            return None
        skew, _, here = self._look()
        if (apart := self._apart(skew)) is not None:
            raise ValueError(apart)
        with self._lock:
            self._believed = here
        self._memory.write(here)
        return problem

    def _look(self) -> tuple[timedelta, Jump, Moment]:
        with self._catalog.read() as session:
            theirs = session.now.utc
        here = clock.moment()
        skew = here.wall - theirs
        with self._lock:
            believed = self._believed or self._memory.read() or here
            jump = self._jump(believed, here)
            if jump.is_too_far:  # perhaps somebody has accepted it, in a process of their own
                accepted = self._memory.read() or believed
                if not (again := self._jump(accepted, here)).is_too_far:
                    believed, jump = accepted, again
            if not jump.is_too_far and abs(skew) <= self._most:
                self._believed = here if jump.rebooted else believed
            self.last = skew, jump.by
            return skew, jump, here

    def _jump(self, believed: Moment, here: Moment) -> Jump:
        passed = here.wall - believed.wall
        if here.boot_id and believed.boot_id == here.boot_id:
            counted = here.since_boot - believed.since_boot
            most = self._most + abs(counted) * _MOST_DRIFT
            return Jump(passed - counted, most, believed.wall, rebooted=False)
        if -self._most <= passed <= LONGEST_OFF or clock.synchronized():
            return Jump(timedelta(), self._most, believed.wall, rebooted=True)
        return Jump(passed, self._most, believed.wall, rebooted=True)

    def _apart(self, skew: timedelta) -> str | None:
        if abs(skew) <= self._most:
            return None
        return (
            f"the clock of this machine and the database's are {format_duration(abs(skew))} apart; "
            "set them right (NTP), sweeps go on by themselves then"
        )

    def _keep(self, here: Moment) -> None:
        with self._lock:
            if self._kept is not None and here.since_boot - self._kept < _KEEP_EVERY:
                return
            self._kept = here.since_boot
        self._memory.write(here)
