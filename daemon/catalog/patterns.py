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


def is_task_id(column: sa.ColumnElement[Any], *, sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether ``column`` can name a task directory, as ``daemon.storage.names`` has it. Never NULL."""
    if not sqlite:
        said = sa.collate(column, "C").regexp_match("^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
        return sa.func.coalesce(said, sa.false())
    said = sa.and_(
        sa.func.typeof(column) == "text",
        column.op("GLOB", return_type=sa.Boolean())("[A-Za-z0-9]*"),
        sa.not_(column.op("GLOB", return_type=sa.Boolean())("*[^A-Za-z0-9._-]*")),
        # in bytes: as a text it ends at its first NUL
        sa.func.length(sa.cast(column, sa.LargeBinary)) <= 128,
        sa.func.length(sa.cast(column, sa.LargeBinary)) == sa.func.length(column),
    )
    return sa.func.coalesce(said, sa.false())


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
