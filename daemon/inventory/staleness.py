"""Which directories a scan has to walk again: a finished task that has not changed is only looked at from outside."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from daemon.catalog.prior import Known
from daemon.storage import identity
from daemon.storage.listing import Listed

# Behind the signature of what was measured while its task was not finished, or could not be looked at: the end of that
# is always cause to measure it once more, whatever the clocks say.
_OPEN: Final = "+"


def signature(listed: Listed, known: Known) -> str:
    """What is kept of the directory to compare it with, if it is measured now."""
    if listed.found is None:  # what it was stays known, to be compared once it can be looked at again
        return (known.signature or "").removesuffix(_OPEN) + _OPEN
    return listed.found.signature + (_OPEN if known.open else "")


def is_another(listed: Listed, known: Known) -> bool:
    """Whether what scans have met under that name is not proven to be this directory."""
    if known.signature is None or listed.found is None:
        return False
    return not identity.of_one(known.signature.removesuffix(_OPEN), listed.found.signature)


def is_stale(listed: Listed, known: Known, now: datetime, recount: timedelta) -> bool:
    """Whether to measure it (again). The row's times are exact to a second at best, so equal ones count as newer."""
    measured_at = known.measured_at
    if measured_at is None or known.open or listed.found is None or known.signature != listed.found.signature:
        return True
    if known.changed_at is not None and known.changed_at >= measured_at.replace(microsecond=0):
        return True
    return not timedelta() <= now - measured_at < recount  # a measurement of the future is none
