"""What a policy says that is valid and probably not meant: `sweepd check` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from daemon.policy.models import Mode, Policy, PolicySet
from daemon.policy.values import format_duration

# Hardly anybody deletes what is so young; who writes `6m` means months.
_YOUNG: Final = timedelta(hours=1)
_UNITS: Final = (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)), ("second", timedelta(seconds=1)))


def remarks(policies: PolicySet) -> Iterator[str]:
    """Yield one line for each thing that a person should look at."""
    for policy in policies.policies:
        if policy.mode is Mode.ENFORCE:
            yield from _young(policy)


def _young(policy: Policy) -> Iterator[str]:
    ages = [one.older_than.age for _, one in policy.match.places() if one.older_than is not None]
    waits = [("older_than", age) for age in ages]
    if policy.action.retain is not None:
        waits.append(("retain", policy.action.retain))
    for key, age in waits:
        if age < _YOUNG:
            yield (
                f"policy {policy.name}: `{key}: {format_duration(age)}` means {_in_words(age)}, and the policy "
                "deletes; if months are meant, write them in days, such as 180d"
            )


def _in_words(age: timedelta) -> str:
    name, unit = next((name, unit) for name, unit in _UNITS if age >= unit)
    number = age // unit
    return f"{number} {name}{'' if number == 1 else 's'}"
