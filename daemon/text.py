"""Text for terminals, logs and messages: nothing that a row or a file name holds moves the cursor or forges a line."""

from __future__ import annotations

import unicodedata
from datetime import datetime


def escaped(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with each character that is not shown as itself written as ``\x1b``, ``\n``, ``\u202e``.

    These are control characters, line ends, marks that change the direction of text, and halves of surrogate pairs.
    Spaces of every width stay, and so do the characters in ``keep``.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep or is_shown(char) else _code(char) for char in text)


def is_shown(char: str) -> bool:
    """Return whether a terminal shows the character as itself: it is printable or a space of some width."""
    return char.isprintable() or unicodedata.category(char) == "Zs"


def in_local_time(at: datetime, *, seconds: bool = False) -> str:
    """Return an instant (aware) for people: local time of this process with its offset, ``2026-12-31 18:00 +08:00``.

    What machines read is ISO 8601 in UTC instead.
    """
    try:
        local = at.astimezone()
    except (OverflowError, OSError, ValueError):  # at the calendar's ends
        local = at
    return f"{local:%Y-%m-%d %H:%M:%S}{_offset(local)}" if seconds else f"{local:%Y-%m-%d %H:%M}{_offset(local)}"


def _offset(at: datetime) -> str:
    offset = f"{at:%z}"
    return f" {offset[:3]}:{offset[3:5]}" if offset else ""


def _code(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
