"""What is remembered of policies and their sweeps: for catching up, for metrics after a restart, for reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.tables import policies, sweeps

KEPT: Final = 1000
"""Sweeps of a policy with an outcome that are never forgotten: more than anything looks back."""
_FORGOTTEN_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class PolicyMemory:
    """When a policy was first loaded, last ran and last succeeded; aware UTC.

    ``scheduled_at``: since when it could run by the schedule it has, if it was ever loaded with one.
    """

    first_seen_at: datetime
    last_run_at: datetime | None
    last_success_at: datetime | None
    scheduled_at: datetime | None


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """A finished sweep, as the table keeps it. ``size_bytes``: apparent bytes of what it deleted.

    ``plan_digest``: the plan it made or was given; ``report``: what it did to which tasks, as JSON. Both are None for
    sweeps of earlier versions.
    """

    sweep_id: str
    policy: str
    trigger: str
    mode: str
    outcome: str
    started_at: datetime
    finished_at: datetime
    considered: int
    selected: int
    deleted: int
    failed: int
    dropped: int
    size_bytes: int
    error: str | None
    plan_digest: str | None
    report: str | None


def remember(connection: Connection, name: str) -> PolicyMemory:
    """The memory of a policy, begun now if it is new."""
    found = _find(connection, name)
    if found is None:
        connection.execute(policies.insert().values(name=name, first_seen_at=clock.now()))
        found = _find(connection, name)
        assert found is not None
    return found


def load(connection: Connection, schedules: Mapping[str, str | None]) -> dict[str, PolicyMemory]:
    """The memories of the policies that are loaded from now on: by name, the digest of the schedule each runs by.

    What is not among them, or has None, runs by none. A schedule that is new to its policy counts from now on.
    """
    c = policies.c
    gone = policies.update().where(c.name.not_in(sorted(schedules)), c.scheduled_as.is_not(None))
    connection.execute(gone.values(scheduled_as=None))
    for name, schedule in schedules.items():
        remember(connection, name)
        changed = policies.update().where(c.name == name, c.scheduled_as.is_distinct_from(schedule))
        connection.execute(changed.values(scheduled_as=schedule, scheduled_at=clock.now()))
    return {name: remember(connection, name) for name in schedules}


def began(connection: Connection, name: str) -> None:
    """Note that a sweep of the policy starts now, so that a run cut off by a crash counts as a run."""
    remember(connection, name)
    connection.execute(policies.update().where(policies.c.name == name).values(last_run_at=clock.now()))


def ended(connection: Connection, record: SweepRecord, *, success: bool) -> None:
    """Keep the sweep's record, and the policy's last success if it was one."""
    values = {name: getattr(record, name) for name in SweepRecord.__slots__}
    connection.execute(sweeps.insert().values(**values, noticed=False))
    if success:
        statement = policies.update().where(policies.c.name == record.policy)
        connection.execute(statement.values(last_success_at=record.finished_at))


def forget(connection: Connection, before: datetime) -> int:
    """Forget some of the sweeps that began before that instant; how many, 0 if there are none left.

    The last ones stay, of each policy with each outcome: limits, guards and metrics go by them, however old they are.
    """
    c = sweeps.c
    newest_first = sa.func.row_number().over(
        partition_by=[c.policy, c.outcome], order_by=[c.started_at.desc(), c.sweep_id.desc()]
    )
    ranked = sa.select(c.sweep_id, c.started_at, newest_first.label("number")).subquery()
    old = sa.select(ranked.c.sweep_id).where(ranked.c.started_at < before, ranked.c.number > KEPT)
    ids = list(connection.execute(old.limit(_FORGOTTEN_AT_ONCE)).scalars())
    connection.execute(sweeps.delete().where(c.sweep_id.in_(ids)))
    return len(ids)


def recent(connection: Connection, policy: str | None, limit: int) -> list[SweepRecord]:
    """The last sweeps, of one policy or of all, the newest first."""
    c = sweeps.c
    statement = _records().order_by(c.started_at.desc(), c.sweep_id.desc()).limit(limit)
    return [
        SweepRecord(*row) for row in connection.execute(statement.where(c.policy == policy) if policy else statement)
    ]


def find(connection: Connection, sweep_id: str) -> SweepRecord | None:
    """That sweep."""
    row = connection.execute(_records().where(sweeps.c.sweep_id == sweep_id)).one_or_none()
    return None if row is None else SweepRecord(*row)


def take_unnoticed(connection: Connection, *, since: datetime, limit: int) -> list[SweepRecord]:
    """The sweeps nobody has been told of yet, the earliest first; from now on they count as told.

    What ended before ``since`` (aware) is no news: it is left out, and counts as told too.
    """
    c = sweeps.c
    connection.execute(sweeps.update().where(sa.not_(c.noticed), c.finished_at < since).values(noticed=True))
    statement = _records().where(sa.not_(c.noticed)).order_by(c.finished_at, c.sweep_id).limit(limit)
    found = [SweepRecord(*row) for row in connection.execute(statement)]
    taken = [record.sweep_id for record in found]
    connection.execute(sweeps.update().where(c.sweep_id.in_(taken)).values(noticed=True))
    return found


def has_unnoticed(connection: Connection) -> bool:
    """Whether there is a sweep that nobody has been told of yet."""
    return bool(connection.execute(sa.select(sa.exists().where(sa.not_(sweeps.c.noticed)))).scalar_one())


def _records() -> sa.Select[Any]:
    return sa.select(*(sweeps.c[name] for name in SweepRecord.__slots__))


def _find(connection: Connection, name: str) -> PolicyMemory | None:
    c = policies.c
    statement = sa.select(c.first_seen_at, c.last_run_at, c.last_success_at, c.scheduled_at).where(c.name == name)
    row = connection.execute(statement).one_or_none()
    return None if row is None else PolicyMemory(*row)
