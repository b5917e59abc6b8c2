"""What a look at one thing came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """WARNING: the daemon works, but not as somebody may think. FAILURE: it does not do its work."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """``found`` in one line; ``remedy``: what to do, empty if nothing is to be done."""

    check: str
    state: State
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """It is as it has to be."""
    return Finding(check, State.OK, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """It works, and yet somebody should look."""
    return Finding(check, State.WARNING, found, remedy)


def failure(check: str, found: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, State.FAILURE, found, remedy)


def skipped(check: str, found: str) -> Finding:
    """It could not be looked at, for the reason given."""
    return Finding(check, State.SKIPPED, found)
