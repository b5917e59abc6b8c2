"""How much one sweep may delete. Pure: numbers in, what they exceed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from statistics import median
from typing import Final

from daemon.policy.models import Limits
from daemon.sizes import format_size

HISTORY: Final = 10
"""How many of a policy's last sweeps say what is usual; of a quota, those that had something to do."""

LEAST_HISTORY: Final = 3
"""With fewer than these nothing is usual yet."""

ERRORS_FROM: Final = 10
"""How many deletions have to be tried before their share of failures means anything."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that is exceeded. ``most``: how many of the first tasks it lets through."""

    limit: str
    most: int
    message: str


def usual(selected_before: Sequence[int]) -> float | None:
    """What a policy usually selects, by the median of its last sweeps; None if that cannot be told yet."""
    return None if len(selected_before) < LEAST_HISTORY else float(median(selected_before[:HISTORY]))


def breaches(limits: Limits, sizes: Sequence[int | None], considered: int, usual: float | None) -> list[Breach]:
    """The limits that deleting these tasks would exceed.

    ``sizes``: of each task in the order they would go, its bytes, None if it has not been measured.
    """
    selected = len(sizes)
    found: list[Breach] = []
    if limits.max_tasks is not None and selected > limits.max_tasks:
        message = f"{selected} tasks are selected, limits.max_tasks is {limits.max_tasks}"
        found.append(Breach("max_tasks", limits.max_tasks, message))
    if limits.max_percent is not None:
        most = _share(limits.max_percent, considered)
        if selected > most:
            share = f"{selected / considered:.1%}" if considered else "all"
            message = f"{selected} of {considered} tasks ({share}) are selected, limits.max_percent is "
            found.append(Breach("max_percent", most, f"{message}{limits.max_percent}"))
    if limits.max_times_usual is not None and usual is not None:
        # A policy that usually selects nothing may select a few: one counts as usual.
        most = math.floor(Fraction(str(limits.max_times_usual)) * Fraction(max(usual, 1)))
        if selected > most:
            message = (
                f"{selected} tasks are selected, usually it is {usual:g}, "
                f"limits.max_times_usual is {limits.max_times_usual}"
            )
            found.append(Breach("max_times_usual", most, message))
    if limits.max_bytes is not None:
        found += _bytes(limits.max_bytes, sizes)
    return found


def too_many_errors(limits: Limits | None, failed: int, tried: int) -> str | None:
    """Why a sweep stops where it is: the share of its deletions that failed; None if it goes on."""
    if limits is None or limits.max_error_percent is None or tried < ERRORS_FROM:
        return None
    if failed <= _share(limits.max_error_percent, tried):
        return None
    return (
        f"{failed} of {tried} deletions failed ({failed / tried:.0%}), limits.max_error_percent is "
        f"{limits.max_error_percent}: stopped"
    )


def _bytes(most_bytes: int, sizes: Sequence[int | None]) -> list[Breach]:
    unmeasured = next((number for number, size in enumerate(sizes) if size is None), None)
    known = [size or 0 for size in sizes[:unmeasured]]
    fitting = sum(1 for total in accumulate(known) if total <= most_bytes)
    if fitting < len(known):
        total = sum(size or 0 for size in sizes)
        message = f"{format_size(total)} are selected, limits.max_bytes is {format_size(most_bytes)}"
        return [Breach("max_bytes", fitting, message)]
    if unmeasured is not None:
        message = (
            f"{sum(size is None for size in sizes)} of {len(sizes)} selected tasks have not been measured yet, so "
            "limits.max_bytes cannot be proven"
        )
        return [Breach("max_bytes", unmeasured, message)]
    return []


def _share(percent: float, total: int) -> int:
    """So many of ``total``, exactly: 0.7% of 1000 is 7."""
    return math.floor(Fraction(str(percent)) * total / 100)
