"""Which directories a scan has to walk again: a finished task that has not changed is only looked at from outside."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from daemon.catalog.prior import Known
from daemon.storage.listing import Listed
from daemon.storage.root import inode_of

# Behind the signature of what was measured while its task was not finished: the end of a task is always cause to
# measure it once more, whatever the clocks say.
_OPEN: Final = "+"


def signature(listed: Listed, known: Known) -> str:
    """What is kept of the directory to compare it with, if it is measured now."""
    return listed.signature + (_OPEN if known.open else "")


def is_another(listed: Listed, known: Known) -> bool:
    """Whether what scans have met under that name was another directory.

    Told by the inode: the device's number may be another one after each start of the machine.
    """
    before = None if known.signature is None else inode_of(known.signature)
    return before not in (None, inode_of(listed.signature))


def is_stale(listed: Listed, known: Known, now: datetime, recount: timedelta) -> bool:
    """Whether to measure it (again). The row's times are exact to a second at best, so equal ones count as newer."""
    measured_at = known.measured_at
    if measured_at is None or known.open or known.signature != listed.signature:
        return True
    if known.changed_at is not None and known.changed_at >= measured_at.replace(microsecond=0):
        return True
    return not timedelta() <= now - measured_at < recount  # a measurement of the future is none
