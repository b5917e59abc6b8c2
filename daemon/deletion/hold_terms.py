"""What a hold may say: its pattern, its reason and its end, checked before anything is asked of the catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from daemon.catalog.holds import is_glob
from daemon.storage.names import is_task_id
from daemon.storage.trash import is_deletion_id

MOST_TEXT: Final = 500
"""Characters of a reason or an owner."""

# What no task id can match is a slip of the pen.
GLOB: Final = re.compile(r"[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Terms:
    """A hold as somebody wants it. ``until``: aware; at most one of ``until`` and ``lasting``."""

    pattern: str
    reason: str
    owner: str
    until: datetime | None = None
    lasting: timedelta | None = None


def check_pattern(text: str) -> str:
    """``text`` itself, a task id or a glob over the same characters. Raises ValueError that says what to write."""
    if is_task_id(text) or (is_glob(text) and GLOB.fullmatch(text)):
        return text
    raise ValueError(
        "neither a task id nor a pattern of one: 1 to 128 letters, digits, '.', '_' or '-', and '*' or '?' for any "
        "text or any one character, the first of them no '.', '_' or '-'"
    )


def is_hold_id(text: str) -> bool:
    """Whether it looks like the id of a hold."""
    return is_deletion_id(text)


def is_everything(pattern: str) -> bool:
    """Whether it says nothing of the names it means."""
    return set(pattern) <= {"*", "?"}


def check_text(text: str) -> str:
    """A reason or an owner, without the space around it. Raises ValueError."""
    stripped = text.strip()
    if not stripped or len(stripped) > MOST_TEXT or not stripped.isprintable():
        raise ValueError(f"must be 1 to {MOST_TEXT} printable characters in one line")
    return stripped


def parse_until(text: str) -> datetime:
    """``2026-12-31`` (to the end of that day), or an ISO date and time; in the local zone if it names none. In UTC.

    Raises ValueError.
    """
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            day = date.fromisoformat(text) + timedelta(days=1)
            return datetime(day.year, day.month, day.day).astimezone(UTC)  # the local zone is meant
        moment = datetime.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ].*", text, re.ASCII) else None
        if moment is not None:
            return moment.astimezone(UTC)  # no database takes every offset that Python does
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError("not a date: write 2026-12-31, or a date with a time such as 2026-12-31T18:00:00+01:00")
