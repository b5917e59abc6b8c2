"""The only place that reads the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


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
