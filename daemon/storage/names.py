"""What a task directory may be called: checked before a name reaches the database or the disk."""

from __future__ import annotations

import re
from typing import Final

from daemon.errors import ErrorCode, TaskRefused

# Starts with a letter or digit, so never ".", ".." or ".sweepd"; no separator, NUL, newline or space.
TASK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

STATE_DIRECTORY: Final = ".sweepd"
"""The daemon's own folder inside the storage root: identity marker, trash, locks."""


def is_task_id(value: str) -> bool:
    """Whether ``value`` can name a task directory: 1 to 128 of ``A-Z a-z 0-9 . _ -``, first a letter or digit."""
    return TASK_ID.fullmatch(value) is not None


def check_task_id(value: str) -> str:
    """``value`` itself, or TaskRefused (INVALID_TASK_ID). The message shows at most 80 escaped characters of it."""
    if not is_task_id(value):
        shown = ascii(value)[:80]
        raise TaskRefused(
            f"{shown} is not a task id: 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit",
            code=ErrorCode.INVALID_TASK_ID,
        )
    return value
