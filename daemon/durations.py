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
# What people write for a unit, without the s of a plural, in seconds.
_OF_NO_FIXED_LENGTH = frozenset({"mo", "mon", "month", "y", "yr", "year"})
_WORDS = {word: (30 if word.startswith("m") else 365) * _UNITS["d"] for word in _OF_NO_FIXED_LENGTH}
_WORDS |= dict.fromkeys(("w", "wk", "week"), _UNITS["w"]) | dict.fromkeys(("d", "day"), _UNITS["d"])
_WORDS |= dict.fromkeys(("h", "hr", "hour"), _UNITS["h"]) | dict.fromkeys(("m", "min", "minute"), _UNITS["m"])
_WORDS |= dict.fromkeys(("s", "sec", "second"), _UNITS["s"])
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
    word = "month" if match[2] == "M" else match[2].lower()
    word = word[:-1] if len(word) > 2 and word.endswith("s") else word
    seconds = _WORDS.get(word)
    proposal = None if seconds is None else format_duration(timedelta(seconds=round(float(match[1]) * seconds)))
    if proposal is None or not _is_duration(proposal):
        return None
    if word in _OF_NO_FIXED_LENGTH:
        what = "month" if word.startswith("m") else "year"
        return f"a {what} has no fixed length, so write it in days: {proposal}"
    return f"write {proposal}"


def _is_duration(text: str) -> bool:
    try:
        parse_duration(text)
    except ValueError:
        return False
    return True


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
