"""The only place that reads the clock."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
# adjtimex(2): the kernel's clock is not disciplined by NTP or the like.
_TIME_ERROR: Final = 5
_TIMEX_ROOM: Final = 512  # struct timex is smaller everywhere


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds from an arbitrary start; only differences mean anything, and the wall clock cannot turn them back."""
    return time.monotonic()


def monotonic_us() -> int:
    """The same in microseconds: what sd_notify(3) calls MONOTONIC_USEC, of CLOCK_MONOTONIC."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def since_boot() -> timedelta:
    """Time since the machine started, sleep included; nobody can set it."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


def unix_ms() -> int:
    """Milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What both clocks showed at once. ``boot_id``: of the start that ``since_boot`` counts from; "" if not known."""

    wall: datetime
    since_boot: timedelta
    boot_id: str


def moment() -> Moment:
    """Return the present one."""
    return Moment(now(), since_boot(), boot_id())


def boot_id() -> str:
    """Return what the kernel calls its present run, 32 hexadecimal digits; "" if it does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="utf-8").strip().replace("-", "")
    except (OSError, ValueError):
        return ""


def synchronized() -> bool:
    """Return whether the kernel knows that its clock is kept right (NTP); False if that cannot be asked."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_ROOM))  # all zero: only asks
    except (OSError, AttributeError):
        return False
    return 0 <= int(state) != _TIME_ERROR
