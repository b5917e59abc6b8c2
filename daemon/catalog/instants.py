"""Instants and the pipeline's timestamps, which carry no zone.

The pipeline writes local wall time of some zone: ``catalog.timezone`` if set, else the database session's own
(PostgreSQL), else UTC (SQLite). An instant is turned into that wall time, by the database where it has zones, and
compared with the column as it stands, so that an index on the column stays usable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.dates import FIRST, LAST, is_readable
from daemon.catalog.pipeline import wall

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment: ``utc`` aware, ``local`` the naive wall time the pipeline would write for it."""

    utc: datetime
    local: datetime

    @property
    def stamp(self) -> datetime:
        """What the pipeline's columns get: wall time in whole seconds, as the contract shows it."""
        return self.local.replace(microsecond=0)


def later(wall: datetime, zone: tzinfo) -> datetime:
    """The moment, in UTC, that a wall time means; of two, the later one. Raises OverflowError beyond the calendar."""
    return max(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def parse_instant(text: str, zone: tzinfo) -> datetime:
    """An ISO 8601 date (its midnight) or date-time, in UTC; without an offset it is wall time of ``zone``.

    In UTC, since no database takes every offset that Python does.

    Raises ValueError that says what to write.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"not a date: write 2026-12-31 or 2026-12-31T03:00 (wall time of {zone}), or one with an offset"
        raise ValueError(message) from None
    if not 1970 <= found.year <= 9000:  # ages are subtracted from it and added to it
        raise ValueError("out of range: a date is between the years 1970 and 9000")
    return (found.replace(tzinfo=zone) if found.tzinfo is None else found).astimezone(UTC)


class Timeline:
    """Converts between instants and the pipeline's columns on one database."""

    def __init__(self, *, sqlite: bool, timezone: str | None) -> None:
        self.sqlite = sqlite
        self._timezone = timezone

    def now(self, connection: Connection, at: datetime | None = None) -> Instant:
        """The database's present, to the microsecond, or the moment ``at``. Raises as the connection does."""
        if self.sqlite:
            instant = at or clock.now()
            return Instant(instant, self._sqlite_local(instant))
        statement = self.present if at is None else self._instant(sa.literal(at, sa.DateTime(timezone=True)))
        utc, local = connection.execute(statement).one()
        return Instant(utc.astimezone(UTC), local)

    @cached_property
    def present(self) -> sa.Select[Any]:
        """What asks PostgreSQL for its present: ``utc``, and ``local`` as the pipeline would write it."""
        return self._instant(sa.func.clock_timestamp(type_=sa.DateTime(timezone=True)))

    def _instant(self, moment: sa.ColumnElement[Any]) -> sa.Select[Any]:
        inner = sa.select(moment.label("utc")).subquery()
        return sa.select(inner.c.utc, self._postgresql_local(inner.c.utc).label("local"))

    def zone(self, connection: Connection) -> tzinfo:
        """The zone the pipeline writes in. One that only the database knows is its present distance from UTC."""
        name = self._timezone or "UTC"
        if self._timezone is None and not self.sqlite:
            name = str(connection.execute(sa.select(sa.func.current_setting("TimeZone"))).scalar_one())
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            now = self.now(connection)
            return timezone(now.local - now.utc.replace(tzinfo=None))

    def comparable(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """``column`` in the form that compares with ``before``; NULL if it holds no timestamp."""
        return sa.func.datetime(column) if self.sqlite else wall(column)

    def known(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """As ``comparable``, and NULL for a date that cannot be read: one before Christ, say, makes nothing old.

        No index of the column helps with it.
        """
        if self.sqlite:
            in_utc = self._timezone in (None, "UTC")
            return sa.case((is_readable(column, offsets=in_utc), self.comparable(column)))
        return sa.case((column.between(FIRST, LAST), wall(column)))

    def before(self, instant: Instant, age: timedelta) -> sa.ColumnElement[Any]:
        """The last wall time that is ``age`` before ``instant`` or longer ago, as a constant of the statement.

        In the hour that the clocks will repeat it is the end of the one before: a row may mean the second time.
        """
        moment = instant.utc - age
        if self.sqlite:
            local = self._sqlite_local(moment)
            if self._sqlite_instant(local) > moment:
                local = local.replace(minute=0, second=0, microsecond=0) - _TICK
            return sa.literal(local.strftime("%Y-%m-%d %H:%M:%S"))
        then = sa.literal(moment, sa.DateTime(timezone=True))
        wall = self._postgresql_local(then)
        hour = sa.func.date_trunc("hour", wall, type_=sa.DateTime(timezone=False))
        return sa.case((self._moment(wall) > then, hour - _TICK), else_=wall)

    def instant(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The moment a column's wall time means, for ``read_instant``; of two, the later one."""
        if self.sqlite:
            return sa.func.datetime(column)
        return self._moment(
            sa.case((column.between(FIRST, LAST), wall(column)))
        )  # beyond the calendar's ends there is none

    def read_instant(self, value: Any) -> datetime | None:
        """What ``instant`` came to: aware UTC, on SQLite without its fraction of a second; None for no timestamp."""
        if value is None:
            return None
        if not self.sqlite:
            return value.astimezone(UTC)  # type: ignore[no-any-return]
        try:
            return self._sqlite_instant(datetime.fromisoformat(value))
        except (ValueError, OverflowError):  # before the year 1, or in the last hours of 9999
            return None

    def _moment(self, wall: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        zoned = sa.DateTime(timezone=True)
        if self._timezone is None:
            return sa.cast(wall, zoned)  # in the session's zone
        return sa.func.timezone(self._timezone, wall, type_=zoned)

    def _postgresql_local(self, instant: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        if self._timezone is None:
            return sa.cast(instant, sa.DateTime(timezone=False))  # in the session's zone
        return sa.func.timezone(self._timezone, instant, type_=sa.DateTime(timezone=False))

    def _sqlite_instant(self, local: datetime) -> datetime:
        return later(local, ZoneInfo(self._timezone or "UTC"))

    def _sqlite_local(self, instant: datetime) -> datetime:
        return instant.astimezone(ZoneInfo(self._timezone or "UTC")).replace(tzinfo=None)
