"""Holds: a person's word that a task stays, whatever policies and people say.

A claim looks at them in its own transaction, and from then on keeps new ones out until it ends; who places one waits
for the claims that have looked. So a hold is in force for every claim that has not ended when it is acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.patterns import fits, glob_match
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import deletions, holds
from daemon.catalog.together import together

# PostgreSQL: these two exclude each other, and neither gets in the way of plain readers or of a backup.
_CLAIMS: Final = sa.text(f"LOCK TABLE {holds.name} IN ROW SHARE MODE")
_PLACES: Final = sa.text(f"LOCK TABLE {holds.name} IN EXCLUSIVE MODE")


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. ``pattern``: a task id, or a glob of ``*`` and ``?``; ``expires_at``: aware, None for never."""

    hold_id: str
    pattern: str
    owner: str
    reason: str
    placed_at: datetime
    expires_at: datetime | None
    released_at: datetime | None = None
    released_by: str | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether it is neither released nor expired at ``now`` (aware)."""
        return self.released_at is None and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class Covered:
    """What a pattern is about now: tasks with a row, those of them whose directory is gone, deletions that wait."""

    tasks: int
    gone: int
    in_trash: int


def active(connection: Connection, now: datetime, *, about: Sequence[str] | None = None) -> list[Hold]:
    """The holds in force at ``now`` (aware), the oldest first; with ``about``, those that may be about these tasks."""
    if about is None:
        return [Hold(*row) for row in connection.execute(_ACTIVE, {"now": now})]
    return [Hold(*row) for row in connection.execute(_ABOUT, {"now": now, "ids": list(about)})]


def claim(connection: Connection, present: sa.Select[Any], task_ids: Sequence[str]) -> tuple[sa.Row[Any], list[Hold]]:
    """Keep new holds out until the transaction ends, and look at those in force that may be about these tasks.

    With a row of what ``present`` asks for: they were in force then. PostgreSQL only, in one message.
    """
    rows = together(connection, [(_CLAIMS, {}), (_claiming(present), {"ids": list(task_ids)})]).all()
    columns = itemgetter(*Hold.__slots__)
    return rows[0], [Hold(*columns(row._mapping)) for row in rows if row.hold_id is not None]


def journal(connection: Connection) -> list[Hold]:
    """Every hold there ever was, the oldest first."""
    return [Hold(*row) for row in connection.execute(_all())]


def find(connection: Connection, hold_id: str) -> Hold | None:
    """The hold of that id, released or not."""
    row = connection.execute(_all().where(holds.c.hold_id == hold_id)).one_or_none()
    return None if row is None else Hold(*row)


def await_claims(connection: Connection) -> None:
    """Wait for the transactions that have claimed; those that come later wait for this one.

    Raises through the connection: TaskRefused (TASK_BUSY) if they do not end in time.
    """
    if connection.dialect.name == "postgresql":  # elsewhere transactions that write take turns
        connection.execute(_PLACES)


def place(connection: Connection, hold: Hold) -> None:
    """Add a hold; after ``await_claims``, in the same transaction."""
    connection.execute(holds.insert().values({name: getattr(hold, name) for name in Hold.__slots__}))


def release(connection: Connection, hold_ids: Sequence[str], now: datetime, by: str) -> set[str]:
    """End these holds, as far as nobody has done so before; their ids. Their rows stay."""
    c = holds.c
    statement = (
        holds.update()
        .where(c.hold_id.in_(sorted(hold_ids)), c.released_at.is_(None))
        .values(released_at=now, released_by=by)
        .returning(c.hold_id)
    )
    return set(connection.execute(statement).scalars())


def covered(connection: Connection, tables: PipelineTables, hold: Hold) -> Covered:
    """What the hold's pattern is about now."""
    sqlite = connection.dialect.name == "sqlite"
    gone = sa.func.sum(sa.case((tables.has_directory, 0), else_=1))
    statement = sa.select(sa.func.count(), sa.func.coalesce(gone, 0)).select_from(tables.tasks)
    tasks, without = connection.execute(statement.where(held([hold], tables.tasks.c.task_id, sqlite=sqlite))).one()
    d = deletions.c
    waiting = sa.select(sa.func.count()).where(d.state == "committed", d.purge_after.is_not(None))
    in_trash = connection.execute(waiting.where(held([hold], d.task_id, sqlite=sqlite))).scalar_one()
    return Covered(int(tasks), int(without), int(in_trash))


def holding(found: Sequence[Hold], task_id: str) -> Hold | None:
    """The first of these holds that is about the task."""
    return next((hold for hold in found if _is_about(hold.pattern, task_id)), None)


def held(found: Sequence[Hold], task_id: sa.ColumnElement[Any], *, sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether one of these holds is about the task in that column; never NULL."""
    ids = sorted({hold.pattern for hold in found if not is_glob(hold.pattern)})
    globs = sorted({hold.pattern for hold in found if is_glob(hold.pattern)})
    parts = [task_id.in_(ids)] if ids else []
    return sa.or_(sa.false(), *parts, *(glob_match(task_id, glob, sqlite=sqlite) for glob in globs))


def is_glob(pattern: str) -> bool:
    """Whether it means more than one task."""
    return "*" in pattern or "?" in pattern


def _is_about(pattern: str, task_id: str) -> bool:
    return fits(pattern, task_id) if is_glob(pattern) else pattern == task_id


def _all() -> sa.Select[Any]:
    columns = (holds.c[name] for name in Hold.__slots__)
    return sa.select(*columns).order_by(holds.c.placed_at, holds.c.hold_id)


@lru_cache(maxsize=8)
def _claiming(present: sa.Select[Any]) -> sa.Select[Any]:
    """One row for each hold, or one without."""
    now = present.subquery("present")
    c = holds.c
    about = sa.and_(_in_force(now.c.utc), _may_be_about_ids())
    columns = [c[name] for name in Hold.__slots__]
    return sa.select(*now.c, *columns).select_from(now.outerjoin(holds, about)).order_by(c.placed_at, c.hold_id)


def _in_force(now: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    c = holds.c
    return sa.and_(c.released_at.is_(None), sa.or_(c.expires_at.is_(None), c.expires_at > now))


def _may_be_about_ids() -> sa.ColumnElement[bool]:
    pattern = holds.c.pattern
    ids = sa.bindparam("ids", type_=sa.String, expanding=True)
    return sa.or_(pattern.in_(ids), *(pattern.contains(sign) for sign in "*?"))


# Made once: every deletion asks.
_ACTIVE: Final = _all().where(_in_force(sa.bindparam("now", type_=holds.c.expires_at.type)))
_ABOUT: Final = _ACTIVE.where(_may_be_about_ids())
