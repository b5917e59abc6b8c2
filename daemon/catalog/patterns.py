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
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(sign) or re.escape(sign) for sign in pattern), text, re.DOTALL) is not None


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
