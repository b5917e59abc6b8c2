"""Plans as they were reviewed: kept by digest, with every task as it was, until they are too old to be applied."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog import populations, rows
from daemon.catalog.populations import Measured
from daemon.catalog.rows import TaskRow
from daemon.catalog.tables import plan_tasks, plans

RETENTION: Final = timedelta(days=30)
"""A stored plan is forgotten this long after it was made, when the next one is stored."""

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What is known of a plan beside its tasks. ``stay_counts``: how many stay, by verdict; ``made_at`` is aware."""

    digest: str
    policy: str
    policy_digest: str
    made_at: datetime
    made_by: str
    considered: int
    selected: int
    stay_counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task that goes by the plan, as it was, and why; ``measured`` if the policy asks for what scans found.

    ``directory``: which one the last scan saw, of an orphan.
    """

    task: TaskRow
    measured: Measured | None
    reason: str
    directory: str | None


def store(connection: Connection, plan: StoredPlan, tasks: Iterable[PlannedTask]) -> None:
    """Keep the plan, and forget those that are too old. One of the same content that is there already is renewed.

    So are its sizes and reasons, of which the digest says nothing: limits are checked on what was shown last.
    """
    forget(connection, plan.made_at - RETENTION)
    values: dict[str, Any] = {name: getattr(plan, name) for name in StoredPlan.__slots__}
    values["stay_counts"] = json.dumps(dict(plan.stay_counts))
    renewed = connection.execute(plans.update().where(plans.c.digest == plan.digest).values(values))
    if renewed.rowcount:
        connection.execute(plan_tasks.delete().where(plan_tasks.c.digest == plan.digest))
    else:
        savepoint = connection.begin_nested()
        try:
            connection.execute(plans.insert().values(values))
        except exc.IntegrityError:  # somebody has stored the same just now
            savepoint.rollback()
            return
        savepoint.commit()
    values_of_all = (_task_values(plan.digest, *numbered) for numbered in enumerate(tasks))
    while batch := list(islice(values_of_all, _BATCH)):
        connection.execute(plan_tasks.insert(), batch)


def find(connection: Connection, prefix: str) -> list[StoredPlan]:
    """The plans whose digest begins with ``prefix`` (hexadecimal digits), two at most."""
    statement = (
        sa.select(*(plans.c[name] for name in StoredPlan.__slots__))
        .where(plans.c.digest.startswith(prefix, autoescape=True))
        .order_by(plans.c.digest)
        .limit(2)
    )
    found = connection.execute(statement)
    return [StoredPlan(**{**row._mapping, "stay_counts": json.loads(row.stay_counts)}) for row in found]


def tasks_of(connection: Connection, digest: str) -> Iterator[PlannedTask]:
    """What goes by that plan, in its order."""
    c = plan_tasks.c
    statement = sa.select(c.task, c.reason).where(c.digest == digest).order_by(c.position)
    for row in connection.execute(statement, execution_options={"yield_per": _BATCH}):
        stored = json.loads(row.task)
        measured = populations.from_json(stored["measured"]) if stored["measured"] else None
        # plans of earlier versions say nothing of directories
        yield PlannedTask(rows.from_json(stored["task"]), measured, row.reason, stored.get("directory"))


def forget(connection: Connection, before: datetime) -> None:
    """Remove the plans made before then (aware)."""
    old = sa.select(plans.c.digest).where(plans.c.made_at < before)
    connection.execute(plan_tasks.delete().where(plan_tasks.c.digest.in_(old)))
    connection.execute(plans.delete().where(plans.c.made_at < before))


def _task_values(digest: str, position: int, planned: PlannedTask) -> dict[str, Any]:
    measured = populations.to_json(planned.measured) if planned.measured else None
    content = {"task": rows.to_json(planned.task), "measured": measured, "directory": planned.directory}
    text = json.dumps(content, ensure_ascii=False)
    return {
        "digest": digest,
        "position": position,
        "task_id": planned.task.task_id,
        "task": text,
        "reason": planned.reason,
    }
