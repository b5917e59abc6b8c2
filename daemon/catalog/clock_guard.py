"""Whether the clocks can be believed: ages and retention are worth nothing on a wrong one."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

from daemon import clock
from daemon.catalog.catalog import Catalog
from daemon.policy.values import format_duration

# Clocks kept by NTP agree within a second; policies count in hours and days.
MOST_SKEW: Final = timedelta(minutes=5)


class ClockGuard:
    """Compares this machine's clock with the database's, and with its own past. Thread-safe."""

    def __init__(self, catalog: Catalog, most: timedelta = MOST_SKEW) -> None:
        self._catalog = catalog
        self._most = most
        self._lock = threading.Lock()
        self._booted: datetime | None = None
        self.last: tuple[timedelta, timedelta] | None = None

    def look(self) -> tuple[timedelta, timedelta]:
        """This machine's clock less the database's, and how far it has jumped since the first look.

        ``last`` keeps them. Raises as below.
        """
        with self._catalog.read() as session:
            theirs = session.now.utc
        ours = clock.now()
        with self._lock:
            booted = ours - clock.since_boot()
            if self._booted is None:
                self._booted = booted
            self.last = ours - theirs, booted - self._booted
            return self.last

    def problem(self) -> str | None:
        """Why nothing may be enforced now; None if the clocks agree. Raises CatalogUnavailable or CatalogNotReady.

        A jump of this machine's clock stands until the process is started again, or the clock has jumped back.
        """
        skew, jump = self.look()
        if abs(skew) > self._most:
            return (
                f"the clock of this machine and the database's are {format_duration(abs(skew))} apart; "
                "set them right (NTP), sweeps go on by themselves then"
            )
        if abs(jump) > self._most:
            return (
                f"the clock of this machine jumped by {format_duration(jump)}; "
                "see that it is right, and start sweepd again"
            )
        return None
