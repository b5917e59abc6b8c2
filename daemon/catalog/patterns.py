"""Patterns of ``*`` (any text) and ``?`` (any one character), by case: in SQL, and the same in Python."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa


def glob_match(column: sa.ColumnElement[Any], pattern: str, *, sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether the whole of ``column`` matches; NULL for NULL."""
    if sqlite:
        return column.op("GLOB", return_type=sa.Boolean())(pattern.replace("[", "[[]"))  # LIKE ignores case
    return column.like(_like(pattern), escape="\\")


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
