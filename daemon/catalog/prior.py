"""What the catalog knows of the names that a scan meets: whether there is cause to walk them once more."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.among import among
from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import inventory

FINISHED: Final = ("completed", "failed")
"""The statuses in which nobody works on a task any more."""
_MARGIN: Final = timedelta(days=1)


@dataclass(slots=True)  # not frozen: there is one for each directory of every scan, and that would take longer
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
    connection: Connection, tables: PipelineTables, timeline: Timeline, names: Sequence[str], running: Set[str]
) -> dict[str, Known]:
    """What is known of each of these names, a few thousand at most."""
    c = inventory.c
    statement = sa.select(c.task_id, c.signature, c.measured_at).where(among(c.task_id, names, sqlite=timeline.sqlite))
    found: dict[str, Known] = {}
    oldest = None
    for name, signature, measured_at in connection.execute(statement).all():
        found[name] = Known(False, signature, measured_at)
        if measured_at is not None and (oldest is None or measured_at < oldest):
            oldest = measured_at
    found.update((name, Known()) for name in names if name not in found)
    for name, (is_open, changed_at) in _may_have_changed(connection, tables, timeline, names, oldest).items():
        found[name].open, found[name].changed_at = is_open, changed_at
    for name in running & found.keys():
        found[name].open = True
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
    chosen = among(t.task_id, names, sqlite=timeline.sqlite)
    found = {}
    for task_id, is_open, *changes in connection.execute(statement.where(chosen, sa.or_(*parts))).all():
        read = [timeline.read_instant(change) for change in changes]
        found[task_id] = (bool(is_open), max((stamp for stamp in read if stamp is not None), default=None))
    return found
