"""Which tasks a policy could not delete, why, and when each is tried again: with growing pauses, over restarts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import rows
from daemon.catalog.among import among
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.rows import TaskRow
from daemon.catalog.tables import inventory, task_failures
from daemon.policy.models import Policy

KEPT: Final = 10_000
"""Tasks of one policy that are remembered, those that failed last: where more fail, the policy itself fails."""
FIRST_PAUSE: Final = timedelta(hours=1)
LONGEST_PAUSE: Final = timedelta(days=7)
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A task that a policy could not delete; instants are aware. ``code``: the kind of failure.

    ``fingerprint``: what the task was then, as ``fingerprint_of`` has it.
    """

    task_id: str
    fingerprint: str
    code: str
    reason: str
    times: int
    first_at: datetime
    last_at: datetime
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """A task that could not be deleted just now."""

    task_id: str
    fingerprint: str
    code: str
    reason: str


def pause(times: int) -> timedelta:
    """Return how long a task waits after so many failures in a row: an hour, then twice as long each time."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(times - 1, 20)))


def fingerprint_of(task: TaskRow, orphan_since: datetime | None) -> str:
    """Return a digest of the task's row, or of an orphan since when it is one."""
    content = repr(task) if orphan_since is None else orphan_since.isoformat()
    return hashlib.sha256(content.encode()).hexdigest()


def find(connection: Connection, policy: Policy) -> dict[str, TaskFailure]:
    """Return the failures of the policy as it is now, by task id."""
    c = task_failures.c
    columns = [c[name] for name in TaskFailure.__slots__]
    statement = sa.select(*columns).where(c.policy == policy.name, c.meaning == policy.meaning)
    return {row.task_id: TaskFailure(*row) for row in connection.execute(statement.order_by(c.first_at, c.task_id))}


def backing_off(
    connection: Connection, tables: PipelineTables, policy: Policy, now: datetime
) -> dict[str, TaskFailure]:
    """Return those that are not tried yet at ``now`` (aware).

    A task that has changed since is tried at once, and so is one that failed by a clock that was ahead.
    """
    found = find(connection, policy)
    waiting = {task_id: one for task_id, one in found.items() if one.last_at <= now < one.next_at}
    if not waiting:
        return {}
    states = _states(connection, tables, policy, list(waiting))
    return {task_id: one for task_id, one in waiting.items() if states.get(task_id) == one.fingerprint}


def record(connection: Connection, policy: Policy, failed: Sequence[Failed], now: datetime) -> None:
    """Remember what has failed at ``now`` (aware), and how often in a row it has."""
    if not failed:
        return
    known = find(connection, policy)
    fixed = {"policy": policy.name, "meaning": policy.meaning, "last_at": now}
    values = []
    for one in failed:
        before = known.get(one.task_id)
        again = before is not None and (before.fingerprint, before.code) == (one.fingerprint, one.code)
        times = before.times + 1 if before is not None and again else 1
        first_at = before.first_at if before is not None and again else now
        values.append(
            {
                **fixed,
                "task_id": one.task_id,
                "fingerprint": one.fingerprint,
                "code": one.code,
                "reason": one.reason[:_LONGEST_REASON],
                "times": times,
                "first_at": first_at,
                "next_at": now + pause(times),
            }
        )
    forget(connection, policy.name, [one.task_id for one in failed])
    connection.execute(task_failures.insert(), values)
    c = task_failures.c
    mine = sa.select(c.task_id).where(c.policy == policy.name)
    beyond = mine.order_by(c.last_at.desc(), c.task_id).offset(KEPT).scalar_subquery()
    connection.execute(task_failures.delete().where(c.policy == policy.name, c.task_id.in_(beyond)))


def forget(connection: Connection, policy: str, task_ids: Collection[str]) -> None:
    """Forget these tasks' failures: they are gone."""
    if task_ids:
        c = task_failures.c
        these = among(c.task_id, sorted(task_ids), sqlite=connection.dialect.name == "sqlite")
        connection.execute(task_failures.delete().where(c.policy == policy, these))


def has_any(connection: Connection, policy: str) -> bool:
    """Return whether anything is remembered of the policy."""
    return bool(connection.execute(sa.select(sa.exists().where(task_failures.c.policy == policy))).scalar_one())


def forget_all(connection: Connection, policy: str) -> int:
    """Forget every failure of the policy, so that each task is tried at once; how many there were."""
    return connection.execute(task_failures.delete().where(task_failures.c.policy == policy)).rowcount


def forget_void(connection: Connection, policy: Policy, looked_at: sa.ColumnElement[bool]) -> None:
    """Forget what was remembered of tasks that the policy does not look at any more, or of what it said before.

    ``looked_at``: whether the policy looks at the task of a row of the table.
    """
    c = task_failures.c
    void = sa.or_(c.meaning != policy.meaning, sa.not_(looked_at))
    connection.execute(task_failures.delete().where(c.policy == policy.name, void))


def forget_policies(connection: Connection, but: Collection[str]) -> None:
    """Forget the failures of every policy but these."""
    connection.execute(task_failures.delete().where(task_failures.c.policy.not_in(sorted(but))))


def count(connection: Connection) -> Counter[tuple[str, str]]:
    """Return how many tasks are remembered, by policy and by what the policy meant."""
    c = task_failures.c
    found = connection.execute(sa.select(c.policy, c.meaning, sa.func.count()).group_by(c.policy, c.meaning))
    return Counter({(policy, meaning): int(number) for policy, meaning, number in found})


def _states(
    connection: Connection, tables: PipelineTables, policy: Policy, task_ids: Sequence[str]
) -> Mapping[str, str]:
    """Return the present state of each of these tasks that is there."""
    sqlite = connection.dialect.name == "sqlite"
    if policy.source == "orphans":
        c = inventory.c
        these = sa.select(c.task_id, c.orphan_since).where(among(c.task_id, task_ids, sqlite=sqlite))
        return {
            row.task_id: fingerprint_of(rows.without_row(row.task_id), row.orphan_since)
            for row in connection.execute(these)
        }
    statement = sa.select(*rows.columns(tables)).where(among(tables.tasks.c.task_id, task_ids, sqlite=sqlite))
    found = (rows.from_row(row) for row in connection.execute(statement))
    return {task.task_id: fingerprint_of(task, None) for task in found}
