"""Dates of PostgreSQL that Python has no value for: infinite ones, and those outside of the years 1 to 9999.

They are read as no date. One such row is then a task whose date is not known, instead of the end of every sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from psycopg2 import extensions

_Text: TypeAlias = str | bytes | None

FIRST: Final = datetime.min  # noqa: DTZ901 -- wall time, as the columns have it
LAST: Final = datetime.max  # noqa: DTZ901
"""Between them, both included, is what can be read."""

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
