"""Patterns of ``*`` (any text) and ``?`` (any one character), by case, and parts of texts: in SQL and in Python."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa


def glob_match(column: sa.ColumnElement[Any], pattern: str, *, sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether the whole of ``column`` matches; NULL for NULL."""
    if sqlite:
        return column.op("GLOB", return_type=sa.Boolean())(pattern.replace("[", "[[]"))  # LIKE ignores case
    return column.like(_like(pattern), escape="\\")


def contains(column: sa.ColumnElement[Any], text: str, *, sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether ``text`` is a part of ``column``, literally, whatever the case of A to Z; NULL for NULL."""
    small = lower(text)
    if sqlite:
        return sa.func.instr(sa.func.lower(column), small) > 0
    return sa.func.strpos(sa.func.lower(sa.collate(sa.cast(column, sa.Text), "C")), small) > 0


def lower(text: str) -> str:
    """``text`` with its A to Z in small letters, which is all that SQLite changes too."""
    return re.sub("[A-Z]+", lambda found: found[0].lower(), text)


def fits(pattern: str, text: str) -> bool:
    """Whether the whole of ``text`` matches."""
    first, *others = (_literal(part) for part in pattern.split("*"))
    if not others:
        return re.fullmatch(first, text, re.DOTALL) is not None
    *between, last = others
    # The first place where a part fits is as good as any later one (atomic groups): many stars take no longer.
    middle = "".join(f"(?>.*?{part})" for part in between)
    return re.fullmatch(f"{first}{middle}.*{last}", text, re.DOTALL) is not None


def _literal(part: str) -> str:
    return "".join("." if sign == "?" else re.escape(sign) for sign in part)


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
