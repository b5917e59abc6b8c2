"""Dates of the pipeline's tables that Python has no value for: infinite ones and those outside of the years 1 to 9999
of PostgreSQL, and whatever else SQLite lets somebody write into such a column.

They are read as no date. One such row is then a task whose date is not known, instead of the end of every sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
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


def _read_text(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            found = found.astimezone(UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.year >= 1000 else None  # as ``is_readable`` has it


WALL_TIME: Final = sa.DateTime().with_variant(_AsWritten(), "sqlite")  # type: ignore[no-untyped-call]
"""The type of the pipeline's timestamps."""


def is_readable(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a timestamp of SQLite looks like a date. Its ``datetime`` takes 12:00 and the number 5 for one too."""
    return column.op("GLOB")(sa.literal("[1-9]???-??-??*", sa.String))


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
