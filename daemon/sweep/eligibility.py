"""When a task that stays could go at the earliest, if nothing but time passes. Pure: no clock, no database.

Every clause about an age, every hold with an end, ``keep.min_age``, a notice period and a pause after a failure turns
over at one instant. Between these instants
nothing changes, so the first of them at which everything allows the task to go is the answer.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from daemon.catalog.holds import Hold
from daemon.catalog.instants import later
from daemon.catalog.patterns import fits
from daemon.catalog.populations import Measured
from daemon.catalog.rows import TaskRow
from daemon.policy.condition import OF_INVENTORY, Age, Condition
from daemon.policy.models import Policy, Protect

_COMPARE = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}


class When(StrEnum):
    """Whether time alone lets a task go."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"  # not by time alone
    UNKNOWN = "unknown"  # it depends on other tasks


@dataclass(frozen=True, slots=True)
class Eligibility:
    """The answer. ``at``: the instant, aware UTC, only for LATER; ``why``: what it waits for, in one line."""

    when: When
    at: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the task. ``rank``, ``undated`` and ``unranked`` as in ``Judged``.

    ``holds``: those in force that are about it; ``waits``: instants (aware) before which it stays, each with why.
    """

    task: TaskRow
    measured: Measured | None
    running: bool
    rank: int | None
    holds: Sequence[Hold]
    undated: bool = False
    unranked: bool = False
    waits: Sequence[tuple[datetime, str]] = ()


def earliest(policy: Policy, protections: Sequence[Protect], facts: Facts, now: datetime, zone: tzinfo) -> Eligibility:
    """When the policy could take the task. ``now`` is aware; ``zone`` is the one the task's timestamps are in."""
    known = _Timed(facts, zone)
    since = known.since(policy)
    blocked = _not_by_time(policy, facts, since)
    if blocked is not None:
        return blocked
    least = policy.keep.min_age if policy.keep else None
    instants = {now, *(hold.expires_at for hold in facts.holds if hold.expires_at is not None)}
    instants.update(at for at, _ in facts.waits)
    conditions = [policy.match, *(protection.match for protection in protections)]
    ages = list(known.ages(conditions))
    if least is not None and since is not None:
        ages.append((since, least))
    instants.update(instant for instant in (_after(*age) for age in ages) if instant is not None)
    obstacles: list[str] = []
    for instant in sorted(one for one in instants if one >= now):
        obstacles = [
            *(f"the hold of {h.owner}" for h in facts.holds if h.expires_at is None or h.expires_at > instant),
            *(f"protected by {p.name}" for p in protections if known.truth(p.match, instant) is not False),
        ]
        if least is not None and since is not None and not _has_passed(since, least, instant):
            obstacles.append("keep.min_age")
        if known.truth(policy.match, instant) is not True:
            obstacles.append("its match")
        obstacles += [why for at, why in facts.waits if at > instant]
        if not obstacles:
            return _when_outranked(policy, facts) or Eligibility(
                When.NOW if instant == now else When.LATER, None if instant == now else instant, ""
            )
    return Eligibility(When.NEVER, None, f"not by time alone: {', '.join(obstacles)}")


def protecting(protections: Iterable[Protect], facts: Facts, now: datetime, zone: tzinfo) -> list[str]:
    """The names of all protections that keep the task at ``now``; what is not known protects."""
    known = _Timed(facts, zone)
    return [one.name for one in protections if known.truth(one.match, now) is not False]


def _when_outranked(policy: Policy, facts: Facts) -> Eligibility | None:
    """It waits for other tasks, if nothing but ``keep.last`` is in the way."""
    keep = policy.keep
    if keep is None or keep.last is None or facts.rank is None or facts.rank > keep.last:
        return None
    return Eligibility(When.UNKNOWN, None, "when enough newer tasks have come: keep.last")


def _not_by_time(policy: Policy, facts: Facts, since: datetime | None) -> Eligibility | None:
    if facts.running:
        return Eligibility(When.NEVER, None, "not by time alone: it is running")
    keep = policy.keep
    if keep is not None and keep.last is not None and facts.unranked:
        return Eligibility(When.NEVER, None, "not by time alone: it has no date to rank it by")
    if keep is not None and keep.min_age is not None and since is None:
        return Eligibility(When.NEVER, None, "not by time alone: it has no date to count keep.min_age from")
    return None


class _Timed:
    """What a condition says of one task at any instant, in SQL's three-valued logic."""

    def __init__(self, facts: Facts, zone: tzinfo) -> None:
        self._task, self._measured, self._undated = facts.task, facts.measured, facts.undated
        self._zone = zone

    def since(self, policy: Policy) -> datetime | None:
        """The instant the task's age counts from."""
        task = self._task
        if policy.source == "orphans":
            return self._measured.first_seen_at if self._measured else None
        if self._undated:
            return None
        return self._utc(task.completed_at or task.started_at or task.created_at)

    def ages(self, conditions: Iterable[Condition]) -> Iterator[tuple[datetime, timedelta]]:
        """The known timestamps that the conditions ask for, each with its age."""
        for one in (inner for condition in conditions for _, inner in condition.places()):
            for age in (one.older_than, one.newer_than):
                stamp = None if age is None else self._stamp(age)
                if age is not None and stamp is not None:
                    yield stamp, age.age

    def truth(self, condition: Condition, at: datetime) -> bool | None:
        parts = list(self._leaves(condition, at))
        if condition.all:
            parts.append(_and(self.truth(child, at) for child in condition.all))
        if condition.any:
            parts.append(_not(_and(_not(self.truth(child, at)) for child in condition.any)))
        if condition.not_ is not None:
            parts.append(_not(self.truth(condition.not_, at)))
        return _and(parts)

    def _leaves(self, condition: Condition, at: datetime) -> Iterator[bool | None]:
        task = self._task
        named = ((condition.status, task.status), (condition.user, task.by_user), (condition.database, task.db_name))
        for values, value in named:
            if values is not None:
                yield value in values
        if condition.older_than is not None:
            yield self._has_age(condition.older_than, at)
        if condition.newer_than is not None:
            yield _not(self._has_age(condition.newer_than, at))
        for glob, text in ((condition.task_id, task.task_id), (condition.task_name, task.task_name)):
            if glob is not None:
                yield text is not None and any(fits(pattern, text) for pattern in glob.glob)
        if condition.directory is not None:
            yield task.directory_exists == (condition.directory == "present")
        if condition.size is not None:
            size = self._measured.size_bytes if self._measured else None
            bounds = condition.size.bounds.items()
            yield None if size is None else all(_COMPARE[word](size, bound) for word, bound in bounds)

    def _has_age(self, age: Age, at: datetime) -> bool | None:
        stamp = self._stamp(age)
        return None if stamp is None else _has_passed(stamp, age.age, at)

    def _stamp(self, age: Age) -> datetime | None:
        if age.by in OF_INVENTORY:
            return getattr(self._measured, f"{age.by}_at", None)
        return self._utc(getattr(self._task, f"{age.by}_at"))

    def _utc(self, stamp: datetime | None) -> datetime | None:
        if stamp is None:
            return None
        try:
            return later(stamp, self._zone)
        except OverflowError:  # the first or the last hours there are
            return stamp.replace(tzinfo=UTC)


def _after(stamp: datetime, age: timedelta) -> datetime | None:
    """``age`` after ``stamp``; None where the calendar ends before that."""
    try:
        return stamp + age
    except OverflowError:
        return None


def _has_passed(stamp: datetime, age: timedelta, at: datetime) -> bool:
    due = _after(stamp, age)
    return due is not None and due <= at


def _and(truths: Iterable[bool | None]) -> bool | None:
    found = list(truths)
    if False in found:
        return False
    return None if None in found else True


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth
