"""What a policy says that is valid and probably not meant: `sweepd check` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from daemon.policy.condition import Condition
from daemon.policy.models import Mode, Policy, PolicySet
from daemon.policy.values import format_duration

# Hardly anybody deletes what is so young; who writes `6m` means months.
_YOUNG: Final = timedelta(hours=1)
_UNITS: Final = (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)), ("second", timedelta(seconds=1)))


def remarks(policies: PolicySet) -> Iterator[str]:
    """Yield one line for each thing that a person should look at."""
    for policy in policies.policies:
        if policy.mode is Mode.ENFORCE:
            for key, time in (*_ages(policy.match), *_waits(policy)):
                yield from _short(f"policy {policy.name}", key, time)
    for protect in policies.protect:
        for key, time in _ages(protect.match):
            yield from _short(f"protection {protect.name}", key, time)


def _ages(match: Condition) -> Iterator[tuple[str, timedelta]]:
    for _, one in match.places():
        if one.older_than is not None:
            yield "older_than", one.older_than.age
        if one.newer_than is not None:
            yield "newer_than", one.newer_than.age


def _waits(policy: Policy) -> Iterator[tuple[str, timedelta]]:
    if policy.keep is not None and policy.keep.min_age is not None:
        yield "min_age", policy.keep.min_age
    if policy.action.retain is not None:
        yield "retain", policy.action.retain


def _short(whose: str, key: str, time: timedelta) -> Iterator[str]:
    if time < _YOUNG:
        yield (
            f"{whose}: `{key}: {format_duration(time)}` means {_in_words(time)}; "
            "if months are meant, write them in days, such as 180d"
        )


def _in_words(age: timedelta) -> str:
    name, unit = next((name, unit) for name, unit in _UNITS if age >= unit)
    number = age // unit
    return f"{number} {name}{'' if number == 1 else 's'}"
