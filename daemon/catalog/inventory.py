"""What the scans found in the storage root: one row for each task directory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import inventory

FINISHED: Final = ("completed", "failed")
"""The statuses in which nobody works on a task any more."""
# More is not told apart: sums of some hundred directories have to fit into the database's integers.
_MOST: Final = 2**53 - 1
_MARGIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Counted:
    """What was found in one directory, sizes in bytes; ``modified_at``: aware, the newest mtime in it."""

    files: int
    directories: int
    size_bytes: int
    freed_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan has to say of one directory: its counts, or the ``error`` that there are none.

    ``is_new``: it had no row in the inventory when the scan looked.
    """

    task_id: str
    is_new: bool
    signature: str
    measured_at: datetime
    counted: Counted | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog knows of one name.

    ``signature`` and ``measured_at`` are of the last time it was measured, if ever. ``open``: it has a row that does
    not say that the task is finished. ``changed_at``: when its row says that it last changed, aware.
    """

    is_new: bool = True
    signature: str | None = None
    measured_at: datetime | None = None
    open: bool = False
    changed_at: datetime | None = None


def running(connection: Connection, tables: PipelineTables, statuses: tuple[str, ...]) -> set[str]:
    """The ids of the tasks that run, by their own status or by a step's."""
    statement = sa.select(tables.tasks.c.task_id).where(tables.running(statuses))
    return set(connection.execute(statement).scalars())


def known(
    connection: Connection, tables: PipelineTables, timeline: Timeline, names: Sequence[str], running: Collection[str]
) -> dict[str, Known]:
    """What is known of each of these names, a few hundred at most."""
    c = inventory.c
    statement = sa.select(c.task_id, c.signature, c.measured_at).where(c.task_id.in_(names))
    measured = {row[0]: (row[1], row[2]) for row in connection.execute(statement)}
    oldest = min((at for _, at in measured.values() if at is not None), default=None)
    tasks = _may_have_changed(connection, tables, timeline, names, oldest)
    found = {}
    for name in names:
        row = measured.get(name)
        signature, measured_at = (None, None) if row is None else row
        is_open, changed_at = tasks.get(name, (False, None))
        found[name] = Known(row is None, signature, measured_at, is_open or name in running, changed_at)
    return found


def _may_have_changed(
    connection: Connection,
    tables: PipelineTables,
    timeline: Timeline,
    names: Sequence[str],
    since: datetime | None,
) -> dict[str, tuple[bool, datetime | None]]:
    """Of those rows alone that are not finished or have changed ``since``: whether they are not, and when they did."""
    t = tables.tasks.c
    stamps = (t.updated_at, t.completed_at)
    not_finished = sa.or_(t.status.is_(None), t.status.not_in(FINISHED))
    parts = [not_finished]
    if since is not None:
        # a day more than that, for the hour that every summer time has twice
        bound = timeline.before(Instant(since, since.replace(tzinfo=None)), _MARGIN)
        parts += [timeline.comparable(stamp) >= bound for stamp in stamps]
    statement = sa.select(t.task_id, not_finished, *(timeline.instant(stamp) for stamp in stamps))
    found = {}
    for task_id, is_open, *changes in connection.execute(statement.where(t.task_id.in_(names), sa.or_(*parts))):
        read = [timeline.read_instant(change) for change in changes]
        found[task_id] = (bool(is_open), max((stamp for stamp in read if stamp is not None), default=None))
    return found


def record(connection: Connection, seen_at: datetime, unchanged: Sequence[str], found: Sequence[Found]) -> None:
    """Note what a scan that began at ``seen_at`` met: these as they were, those with what was found in them.

    A deletion removes the row of its directory: it is neither waited for nor undone.
    """
    c = inventory.c
    known = [one.task_id for one in found if not one.is_new]
    if known:
        free = {row[0] for row in connection.execute(_free(known))}
        found = [one for one in found if one.is_new or one.task_id in free]
    if unchanged:
        again = sa.and_(c.task_id.in_(_free(unchanged).scalar_subquery()), c.last_seen_at < seen_at)
        connection.execute(inventory.update().where(again).values(last_seen_at=seen_at, sightings=c.sightings + 1))
    if found:
        connection.execute(
            _upsert(connection), [_row(one, seen_at) for one in sorted(found, key=lambda one: one.task_id)]
        )


def _free(names: Sequence[str]) -> sa.Select[Any]:
    """Those of these rows that nobody else has locked, locked."""
    c = inventory.c
    return sa.select(c.task_id).where(c.task_id.in_(names)).with_for_update(skip_locked=True)


def forget(connection: Connection, task_ids: Collection[str]) -> None:
    """Remove what is known of these directories: they are not there any more."""
    if task_ids:
        connection.execute(_FORGET, {"ids": sorted(task_ids)})


# Made once: every deletion needs it.
_FORGET: Final = inventory.delete().where(inventory.c.task_id.in_(sa.bindparam("ids", type_=sa.String, expanding=True)))


def not_seen_since(connection: Connection, seen_at: datetime, after: str, limit: int) -> list[str]:
    """Names that no scan has met since, in order, behind the name ``after``."""
    c = inventory.c
    statement = sa.select(c.task_id).where(c.last_seen_at < seen_at, c.task_id > after).order_by(c.task_id).limit(limit)
    return list(connection.execute(statement).scalars())


def forget_unseen(connection: Connection, seen_at: datetime, names: Sequence[str]) -> None:
    """Remove the rows of these names, unless a scan has met them since."""
    c = inventory.c
    connection.execute(inventory.delete().where(c.task_id.in_(names), c.last_seen_at < seen_at))


def measured(connection: Connection, task_ids: Sequence[str]) -> dict[str, Counted]:
    """The counts of these directories, as far as they are known."""
    c = inventory.c
    found: dict[str, Counted] = {}
    for start in range(0, len(task_ids), 500):
        chosen = c.task_id.in_(task_ids[start : start + 500])
        statement = sa.select(c.task_id, *(c[name] for name in Counted.__slots__))
        for row in connection.execute(statement.where(chosen, c.measured_at.is_not(None))):
            found[row[0]] = Counted(*row[1:])
    return found


def seen(connection: Connection, task_id: str) -> dict[str, Any] | None:
    """What scans have to say of a directory, as JSON has it: sizes in bytes, instants in UTC; None if none met it."""
    columns = (inventory.c[name] for name in _SHOWN)
    row = connection.execute(sa.select(*columns).where(inventory.c.task_id == task_id)).one_or_none()
    if row is None:
        return None
    return {n: v.isoformat(timespec="seconds") if isinstance(v, datetime) else v for n, v in row._mapping.items()}


def total_bytes(connection: Connection) -> int:
    """The allocated bytes of all directories, as far as they are known."""
    total = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(inventory.c.freed_bytes), 0))).scalar_one()
    return int(total)


def _upsert(connection: Connection) -> Any:
    insert: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(inventory)
    c, new = inventory.c, insert.excluded
    again = sa.case((c.last_seen_at < new.last_seen_at, 1), else_=0)
    changed = {name: new[name] for name in _MEASURED}
    return insert.on_conflict_do_update(
        index_elements=[c.task_id],
        set_={**changed, "last_seen_at": new.last_seen_at, "sightings": c.sightings + again},
    )


_SHOWN: Final = ("first_seen_at", "last_seen_at", "sightings", "measured_at", *Counted.__slots__, "error")
_MEASURED: Final = ("signature", "measured_at", *Counted.__slots__, "error")


def _row(found: Found, seen_at: datetime) -> Mapping[str, Any]:
    counted = found.counted
    values: dict[str, Any] = dict.fromkeys(Counted.__slots__)
    if counted is not None:
        values = {name: getattr(counted, name) for name in Counted.__slots__}
        values |= {name: min(values[name], _MOST) for name in ("size_bytes", "freed_bytes")}
    return {
        **values,
        "task_id": found.task_id,
        "first_seen_at": seen_at,
        "last_seen_at": seen_at,
        "sightings": 1,
        "signature": found.signature,
        "measured_at": None if counted is None else found.measured_at,
        "error": found.error,
    }
