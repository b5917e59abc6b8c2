"""Durations as people write them, in the configuration, in policies and in requests."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from daemon.strict_yaml import kind

_UNITS = {"w": 7 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PATTERN = "".join(rf"(?:(?P<{unit}>[0-9]{{1,12}}){unit})?" for unit in _UNITS)
_SCHEMA = {"type": "string", "minLength": 2, "pattern": f"^{''.join(f'([0-9]+{unit})?' for unit in _UNITS)}$"}
_EXAMPLES = "write a number and a unit of w, d, h, m, s, such as 30d, 12h or 1d12h"
# What people write for a unit, without a plural's s.
_DAYS = {"mo": 30, "mon": 30, "month": 30, "y": 365, "yr": 365, "year": 365}
_WORDS = {"w": "w", "week": "w", "d": "d", "day": "d", "h": "h", "hr": "h", "hour": "h"}
_WORDS |= {"m": "m", "min": "m", "minute": "m", "": "s", "s": "s", "sec": "s", "second": "s"}
# A database subtracts it from the present: a longer one would end before the year 1.
_LONGEST = timedelta(days=36_500)


def parse_duration(text: str) -> timedelta:
    """``30d``, ``12h``, ``45m``, ``90s``, ``2w`` or a descending combination such as ``1d12h``.

    Raises `ValueError` for anything else, for zero and for more than 36,500 days.
    """
    if re.fullmatch(r"[+-]?[0-9.]+", text):
        raise ValueError(f"a duration needs a unit: {_EXAMPLES}")
    if text.startswith("-"):
        raise ValueError(f"a duration cannot be negative: {_EXAMPLES}")
    match = re.fullmatch(_PATTERN, text)
    if not text or match is None:
        raise ValueError(f"not a duration: {_meant(text) or _EXAMPLES}")
    seconds = sum(int(amount) * _UNITS[unit] for unit, amount in match.groupdict().items() if amount)
    if seconds == 0:
        raise ValueError(f"a duration cannot be zero: {_EXAMPLES}")
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"a duration cannot be longer than {_LONGEST.days}d")
    return timedelta(seconds=seconds)


def _meant(text: str) -> str | None:
    """Return what to write instead of a duration in other words, such as ``6 months``; None if that is not clear."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([A-Za-z]+)", text)
    if match is None:
        return None
    amount, word = float(match[1]), match[2]
    days = None if word == "m" else _DAYS.get(word.lower().rstrip("s") if len(word) > 1 else word.lower())
    if word == "M" or days in (30, 365):
        what = "month" if days != 365 else "year"
        return f"a {what} has no fixed length, so write it in days: {_days(amount * (days or 30))}"
    unit = _WORDS.get(word.lower().rstrip("s") if len(word) > 1 else word.lower())
    if unit is None:
        return None
    seconds = round(amount * _UNITS[unit])
    return f"write {format_duration(timedelta(seconds=seconds))}" if seconds else None


def _days(amount: float) -> str:
    return f"{round(amount)}d"


def format_duration(duration: timedelta) -> str:
    """The shortest text `parse_duration` reads as that, in days and below; fractions of a second are dropped."""
    rest = abs(int(duration.total_seconds()))
    parts = []
    for unit in "dhms":
        amount, rest = divmod(rest, _UNITS[unit])
        if amount:
            parts.append(f"{amount}{unit}")
    return ("-" if duration < timedelta() else "") + ("".join(parts) or "0s")


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        if value <= timedelta():
            raise ValueError("a duration has to be longer than zero")
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return parse_duration(str(value))
    if not isinstance(value, str):
        raise ValueError(f"expected a duration, got {kind(value)}: {_EXAMPLES}")
    return parse_duration(value)


Duration: TypeAlias = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(_SCHEMA),
]
