"""What somebody should be told, until it is part of a message; and the alarms that are raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.tables import alarms, notices


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. ``subject``: what webhooks choose by; ``type``: what happened; ``at``: aware.

    ``text``: one line for people; ``details``: a JSON object.
    """

    subject: str
    type: str
    severity: str
    at: datetime
    policy: str | None
    text: str
    details: str = "{}"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Since when (aware) something is wrong, and what."""

    raised_at: datetime
    reason: str


def add(connection: Connection, new: Iterable[Notice]) -> None:
    """Keep these until they are part of a message."""
    rows = [{name: getattr(notice, name) for name in Notice.__slots__} for notice in new]
    if rows:
        connection.execute(notices.insert(), rows)


def oldest(connection: Connection) -> datetime | None:
    """When the first one that waits happened; aware."""
    found: datetime | None = connection.execute(sa.select(sa.func.min(notices.c.at, type_=notices.c.at.type))).scalar()
    return found


def take(connection: Connection) -> list[Notice]:
    """All that wait, in the order they were kept; the transaction they are taken in makes messages of them."""
    columns = [notices.c[name] for name in Notice.__slots__]
    found = [Notice(*row) for row in connection.execute(sa.select(*columns).order_by(notices.c.notice_id))]
    connection.execute(notices.delete())
    return found


def raised(connection: Connection) -> dict[str, Alarm]:
    """The alarms that are raised, by name."""
    c = alarms.c
    return {name: Alarm(*rest) for name, *rest in connection.execute(sa.select(c.name, c.raised_at, c.reason))}


def change(connection: Connection, up: Mapping[str, Alarm], down: Iterable[str]) -> None:
    """Remember alarms as raised, and as over."""
    rows: list[dict[str, Any]] = [
        {"name": name, "raised_at": alarm.raised_at, "reason": alarm.reason} for name, alarm in up.items()
    ]
    gone = [*up, *down]
    if gone:
        connection.execute(alarms.delete().where(alarms.c.name.in_(gone)))
    if rows:
        connection.execute(alarms.insert(), rows)
