"""Alarms: what is wrong at the moment. Each is told when it begins and when it is over, over restarts too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from daemon.catalog.notices import Alarm, Notice
from daemon.notify.notices import Severity, notice
from daemon.webhooks import Subject

SUSPENDED: Final = "policy_suspended"
TRASH_STUCK: Final = "trash_stuck"
CATALOG: Final = "catalog"

_COMPONENTS: Final = {
    CATALOG: "the database is not there, and nothing is deleted",
    "storage_root": "the storage root is not there, and nothing is deleted",
    "journal": "the database has forgotten deletions, and nothing is deleted",
    "clock": "the clocks cannot be believed, and no policy deletes",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now, and in words what."""

    subject: Subject
    reason: str
    policy: str | None = None


def conditions(
    problems: Mapping[str, str | None], starting: str, unsettled: int | None, suspended: Mapping[str, str]
) -> dict[str, Condition]:
    """What is wrong now, by the alarm's name.

    ``problems``: what each component says is wrong with it, ``starting`` being nothing; ``unsettled``: trash entries
    that are stuck, None if that is not known; ``suspended``: why, by policy.
    """
    found = {
        name: Condition(Subject.ALARMS, f"{text}: {problems[name]}")
        for name, text in _COMPONENTS.items()
        if problems.get(name) not in (None, starting)
    }
    if unsettled:
        found[TRASH_STUCK] = Condition(Subject.ALARMS, f"{unsettled} entries of the trash cannot be settled")
    for policy, why in suspended.items():
        reason = f"policy {policy} has suspended itself: {why}; find out why, then run: sweepd resume {policy}"
        found[f"{SUSPENDED}:{policy}"] = Condition(Subject.SUSPENSIONS, reason, policy)
    return found


def unknown(problems: Mapping[str, str | None], starting: str, unsettled: int | None) -> set[str]:
    """The alarms of which nothing can be said yet, after a start."""
    found = {name for name, problem in problems.items() if problem == starting}
    return found if unsettled is not None else found | {TRASH_STUCK}


def begin(name: str, condition: Condition, at: datetime) -> Notice:
    """The notice that it has begun."""
    details = {"alarm": name.partition(":")[0]}
    return notice(
        condition.subject,
        "alarm.raised",
        Severity.ERROR,
        condition.reason,
        at=at,
        policy=condition.policy,
        details=details,
    )


def end(name: str, alarm: Alarm, at: datetime) -> Notice:
    """The notice that it is over."""
    kind, _, policy = name.partition(":")
    subject = Subject.SUSPENSIONS if kind == SUSPENDED else Subject.ALARMS
    details = {"alarm": kind, "raised_at": alarm.raised_at.isoformat(timespec="seconds")}
    return notice(
        subject,
        "alarm.cleared",
        Severity.INFO,
        f"over: {alarm.reason}",
        at=at,
        policy=policy or None,
        details=details,
    )
