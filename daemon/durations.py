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
        raise ValueError(f"not a duration: {_EXAMPLES}")
    seconds = sum(int(amount) * _UNITS[unit] for unit, amount in match.groupdict().items() if amount)
    if seconds == 0:
        raise ValueError(f"a duration cannot be zero: {_EXAMPLES}")
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"a duration cannot be longer than {_LONGEST.days}d")
    return timedelta(seconds=seconds)


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
