"""What a policy says that is valid and probably not meant: `sweepd check` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from daemon.policy.condition import Condition
from daemon.policy.models import Mode, PolicySet
from daemon.policy.values import format_duration

# Hardly anybody deletes what is so young; who writes `6m` means months.
_YOUNG: Final = timedelta(hours=1)
_UNITS: Final = (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)), ("second", timedelta(seconds=1)))


def remarks(policies: PolicySet) -> Iterator[str]:
    """Yield one line for each thing that a person should look at."""
    for policy in policies.policies:
        if policy.mode is Mode.ENFORCE:
            waits = [("min_age", policy.keep and policy.keep.min_age), ("retain", policy.action.retain)]
            for key, age in (*_ages(policy.match), *waits):
                yield from _short(f"policy {policy.name}", key, age)
    for protect in policies.protect:
        for key, age in _ages(protect.match):
            yield from _short(f"protection {protect.name}", key, age)


def _ages(match: Condition) -> Iterator[tuple[str, timedelta]]:
    for _, one in match.places():
        yield from (
            (key, age.age) for key, age in (("older_than", one.older_than), ("newer_than", one.newer_than)) if age
        )


def _short(whose: str, key: str, age: timedelta | None) -> Iterator[str]:
    if age is not None and age < _YOUNG:
        yield (
            f"{whose}: `{key}: {format_duration(age)}` means {_in_words(age)}; "
            "if months are meant, write them in days, such as 180d"
        )


def _in_words(age: timedelta) -> str:
    name, unit = next((name, unit) for name, unit in _UNITS if age >= unit)
    number = age // unit
    return f"{number} {name}{'' if number == 1 else 's'}"
