"""Holds: a person's word that a task stays, whatever policies and people say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.patterns import fits, glob_match
from daemon.catalog.tables import holds


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. ``pattern``: a task id, or a glob of ``*`` and ``?``; ``expires_at``: aware, None for never."""

    hold_id: str
    pattern: str
    owner: str
    reason: str
    placed_at: datetime
    expires_at: datetime | None


def active(connection: Connection, now: datetime) -> list[Hold]:
    """The holds in force at ``now`` (aware), the oldest first."""
    c = holds.c
    statement = (
        sa.select(*(c[name] for name in Hold.__slots__))
        .where(c.released_at.is_(None), sa.or_(c.expires_at.is_(None), c.expires_at > now))
        .order_by(c.placed_at, c.hold_id)
    )
    return [Hold(*row) for row in connection.execute(statement)]


def holding(found: Sequence[Hold], task_id: str) -> Hold | None:
    """The first of these holds that is about the task."""
    return next((hold for hold in found if fits(hold.pattern, task_id)), None)


def held(found: Sequence[Hold], task_id: sa.ColumnElement[Any], *, sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether one of these holds is about the task in that column; never NULL."""
    ids = sorted({hold.pattern for hold in found if not is_glob(hold.pattern)})
    globs = sorted({hold.pattern for hold in found if is_glob(hold.pattern)})
    parts = [task_id.in_(ids)] if ids else []
    return sa.or_(sa.false(), *parts, *(glob_match(task_id, glob, sqlite=sqlite) for glob in globs))


def is_glob(pattern: str) -> bool:
    """Whether it means more than one task."""
    return "*" in pattern or "?" in pattern
