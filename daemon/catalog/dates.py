"""Dates of the pipeline's tables that Python has no value for: infinite ones and those outside of the years 1 to 9999
of PostgreSQL, and whatever else SQLite lets somebody write into such a column.

They are read as no date. One such row is then a task whose date is not known, instead of the end of every sweep.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from psycopg2 import extensions
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect

_Text: TypeAlias = str | bytes | None

FIRST: Final = datetime.min  # noqa: DTZ901 -- wall time, as the columns have it
LAST: Final = datetime.max  # noqa: DTZ901
"""Between them, both included, is what can be read."""


class _AsWritten(sqlite.DATETIME):
    """SQLite's text, which may be any. With an offset it is the moment that SQLite's own ``datetime`` takes it for."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        del dialect, coltype
        return _read_text


# What SQLite's ``datetime`` takes for a date, as far as it begins like one: https://sqlite.org/lang_datefunc.html.
_WRITTEN: Final = re.compile(
    r"([1-9]\d{3})-(\d\d)-(\d\d)[ T]*"
    r"(?:(?<=[ T])(\d\d):([0-5]\d)(?::([0-5]\d)(\.\d+)?)? *(?:([Zz])|([+-])(\d\d):(\d\d))? *)?",
    re.ASCII,
)


def _read_text(value: Any) -> datetime | None:
    found = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = found.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31 and int(hour or 0) <= 24):
        return None
    try:  # the 31st of June is the first of July, and 24:00 the next day
        at = timedelta(days=int(day) - 1, hours=int(hour or 0), minutes=int(minute or 0), seconds=int(second or 0))
        at += timedelta(microseconds=int(float(fraction or 0) * 1_000_000))
        if sign:
            at -= timedelta(hours=int(f"{sign}{hours}"), minutes=int(f"{sign}{minutes}"))
        return datetime(int(year), int(month), 1) + at  # noqa: DTZ001 -- wall time, as the columns have it
    except OverflowError:
        return None


WALL_TIME: Final = sa.DateTime().with_variant(_AsWritten(), "sqlite")  # type: ignore[no-untyped-call]
"""The type of the pipeline's timestamps."""


def is_readable(column: sa.ColumnElement[Any], *, offsets: bool) -> sa.ColumnElement[bool]:
    """Whether a timestamp of SQLite looks like a date. Its ``datetime`` takes 12:00 and the number 5 for one too.

    Without ``offsets`` none that has one, or is in UTC by its Z, is read: SQLite would give UTC, not wall time.
    """
    looks = _glob(column, "[1-9]???-??-??*")
    return looks if offsets else sa.and_(looks, sa.not_(_glob(column, "*:*[-+Zz]*")))


def _glob(column: sa.ColumnElement[Any], pattern: str) -> sa.ColumnElement[bool]:
    return column.op("GLOB", is_comparison=True)(sa.literal(pattern, sa.String))


# The object ids of PostgreSQL's types.
_TIMESTAMP: Final = 1114
_TIMESTAMPTZ: Final = 1184


def read_unknown_as_none(connection: Any) -> None:
    """Make this psycopg2 connection return None for such dates."""
    for reader in (_PLAIN, _ZONED):
        extensions.register_type(reader, connection)


def _plain(value: _Text, cursor: Any) -> datetime | None:
    return _read(extensions.PYDATETIME, value, cursor)


def _zoned(value: _Text, cursor: Any) -> datetime | None:
    found = _read(extensions.PYDATETIMETZ, value, cursor)
    try:
        return None if found is None else found.astimezone(UTC)
    except OverflowError:  # the last hours of 9999, or the first ones of the year 1
        return None


def _read(cast: Callable[[_Text, Any], Any], value: _Text, cursor: Any) -> datetime | None:
    if value in (None, "infinity", "-infinity"):  # psycopg2 would take it for the last or the first of all dates
        return None
    try:
        found: datetime | None = cast(value, cursor)
    except (ValueError, OverflowError):
        return None
    return found


_PLAIN: Final = extensions.new_type((_TIMESTAMP,), "sweepd_timestamp", _plain)
_ZONED: Final = extensions.new_type((_TIMESTAMPTZ,), "sweepd_timestamptz", _zoned)
