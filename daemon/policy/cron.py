"""Cron expressions as crontab(5) means them, translated for a scheduler that counts weekdays from Monday.

Every field is written out as a list, and weekdays as names: APScheduler's 0 is Monday, it knows no 7, and it refuses
ranges such as ``fri-mon``. Day-of-month together with day-of-week is refused: crontab(5) runs when either fits,
APScheduler when both do, and nobody remembers which.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class CronFields(NamedTuple):
    """Keyword arguments for APScheduler's CronTrigger; each is ``*`` or a comma list without ranges."""

    minute: str
    hour: str
    day: str
    month: str
    day_of_week: str


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("day of week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


def parse_cron(text: str) -> CronFields:
    """Five fields or a macro such as ``@daily``; raises `ValueError` that says which part is wrong."""
    expression = text.strip()
    if expression.lower() == "@reboot":
        raise ValueError("@reboot is not a time: a sweep must not depend on restarts; write @daily or five fields")
    if expression.startswith("@"):
        if expression.lower() not in _MACROS:
            raise ValueError(f"unknown cron macro; known: {', '.join(_MACROS)}")
        expression = _MACROS[expression.lower()]
    parts = expression.split()
    if len(parts) != 5:
        raise ValueError(
            f"a cron expression has five fields (minute, hour, day of month, month, day of week), got {len(parts)}"
        )
    minute, hour, day, month, weekday = (_numbers(part, field) for part, field in zip(parts, _FIELDS, strict=True))
    weekday = {number % 7 for number in weekday}
    if len(day) < 31 and len(weekday) < 7:
        raise ValueError(
            "day of month together with day of week is refused, because crons disagree whether both or either"
            " has to fit: write `*` for one of them, or two policies"
        )
    if min(day) > max(_LONGEST_MONTHS[number - 1] for number in month):
        raise ValueError(f"never happens: no such month has a day {min(day)}")
    return CronFields(
        minute=_list(minute, 60),
        hour=_list(hour, 24),
        day=_list(day, 31),
        month=_list(month, 12),
        day_of_week="*" if len(weekday) == 7 else ",".join(_WEEKDAYS[number] for number in sorted(weekday)),
    )


def _list(numbers: set[int], size: int) -> str:
    return "*" if len(numbers) == size else ",".join(str(number) for number in sorted(numbers))


def _numbers(text: str, field: _Field) -> set[int]:
    numbers: set[int] = set()
    for item in text.split(","):
        match = re.fullmatch(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[0-9]{1,4}))?", item)
        if match is None or (match["first"] == "*" and match["last"]):
            raise ValueError(f"{field.name}: `{item}` is not a number, name, range, list, `*` or step")
        if match["first"] == "*":
            low, high = field.low, 6 if field.high == 7 else field.high
        else:
            low = high = _number(match["first"], field)
            if match["last"]:
                high = _number(match["last"], field)
                high = 7 if match["last"].lower() == "sun" and low > 0 else high
            elif match["step"]:
                top = field.high if field.high != 7 else 6
                raise ValueError(f"{field.name}: `{item}` has a step but no range: write {low}-{top}/{match['step']}")
        if low > high:
            raise ValueError(f"{field.name}: `{item}` runs backwards: write two ranges, separated by a comma")
        step = int(match["step"] or 1)
        if not 1 <= step <= max(high - low, 1):
            raise ValueError(f"{field.name}: the step of `{item}` has to be between 1 and {max(high - low, 1)}")
        numbers.update(range(low, high + 1, step))
    return numbers


def _number(text: str, field: _Field) -> int:
    if text.lower() in field.names:
        return field.names[text.lower()]
    if not re.fullmatch(r"[0-9]{1,4}", text) or not field.low <= int(text) <= field.high:
        names = f" or {', '.join(field.names)}" if field.names else ""
        raise ValueError(f"{field.name}: `{text}` is not {field.low} to {field.high}{names}")
    return int(text)
