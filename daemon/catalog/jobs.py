"""The journal of jobs: deletions that run in the background, and what became of each of their tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.tables import job_tasks, jobs

_OPEN: Final = ("queued", "running")
_FORGOTTEN_AT_ONCE: Final = 100


class JobState(StrEnum):
    """CANCELLED: somebody ended it early. FINISHED: it ended by itself, whatever became of its tasks."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobState.FINISHED, JobState.CANCELLED)


class TaskOutcome(StrEnum):
    """What became of one task of a job."""

    DELETED = "deleted"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True)
class Job:
    """A job without its tasks. ``deleted_at`` is wall time of the pipeline's zone, the others are aware UTC."""

    job_id: str
    kind: str
    initiator: str
    delete_database_records: bool
    force: bool
    retain_seconds: int | None
    continue_on_error: bool
    tasks_total: int
    created_at: datetime
    state: JobState = JobState.QUEUED
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancelled_by: str | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobTask:
    """One task of a job. ``number`` counts the outcomes of the job from 1, in the order they were noted.

    ``files`` is None for what waits in the trash uncounted; ``error`` is a failure as JSON.
    """

    position: int
    task_id: str
    number: int | None = None
    outcome: TaskOutcome | None = None
    deletion_id: str | None = None
    directory_deleted: bool | None = None
    records_deleted: bool | None = None
    files: int | None = None
    directories: int | None = None
    size_bytes: int | None = None
    freed_bytes: int | None = None
    deleted_at: datetime | None = None
    retained_until: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """How far a job is, by what has been noted."""

    deleted: int = 0
    failed: int = 0
    files: int = 0
    size_bytes: int = 0


def add(connection: Connection, job: Job, task_ids: Sequence[str]) -> None:
    """Keep a new job and its tasks."""
    connection.execute(jobs.insert().values({name: getattr(job, name) for name in Job.__slots__}))
    rows = [
        {"job_id": job.job_id, "position": position, "task_id": _written(task_id)}
        for position, task_id in enumerate(task_ids)
    ]
    connection.execute(job_tasks.insert(), rows)


def find(connection: Connection, job_id: str, *, lock: bool = False) -> Job | None:
    """That job; with ``lock``, nobody else changes it until the transaction ends."""
    statement = _jobs().where(jobs.c.job_id == job_id)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return None if row is None else _job(row)


def recent(connection: Connection, *, state: JobState | None, before: str | None, limit: int) -> list[Job]:
    """The newest jobs first; those made before the job ``before``."""
    statement = _jobs().order_by(jobs.c.job_id.desc()).limit(limit)
    if state is not None:
        statement = statement.where(jobs.c.state == state)
    if before is not None:
        statement = statement.where(jobs.c.job_id < before)
    return [_job(row) for row in connection.execute(statement)]


def unfinished(connection: Connection) -> list[Job]:
    """The jobs that are queued or running, the oldest first."""
    return [_job(row) for row in connection.execute(_jobs().where(jobs.c.state.in_(_OPEN)).order_by(jobs.c.job_id))]


def begin(connection: Connection, job_id: str) -> None:
    """The job runs now."""
    started = sa.func.coalesce(jobs.c.started_at, sa.bindparam("now", clock.now(), type_=jobs.c.started_at.type))
    connection.execute(
        jobs.update()
        .where(jobs.c.job_id == job_id, jobs.c.state.in_(_OPEN))
        .values(state=JobState.RUNNING, started_at=started)
    )


def cancel(connection: Connection, job_id: str, by: str) -> None:
    """Remember that somebody wants it to end."""
    connection.execute(
        jobs.update().where(jobs.c.job_id == job_id, jobs.c.cancelled_by.is_(None)).values(cancelled_by=by)
    )


def note(connection: Connection, job_id: str, done: Sequence[JobTask]) -> None:
    """Note what became of these tasks."""
    if not done:
        return
    names = [name for name in JobTask.__slots__ if name not in ("position", "task_id")]
    c = job_tasks.c
    statement = (
        job_tasks.update()
        .where(c.job_id == job_id, c.position == sa.bindparam("b_position"), c.outcome.is_(None))
        .values({name: sa.bindparam(f"b_{name}") for name in names})
    )
    rows = [{f"b_{name}": getattr(task, name) for name in ("position", *names)} for task in done]
    connection.execute(statement, rows)


def end(connection: Connection, job_id: str, state: JobState, deleted_at: datetime | None) -> None:
    """The job is over."""
    connection.execute(
        jobs.update().where(jobs.c.job_id == job_id).values(state=state, finished_at=clock.now(), deleted_at=deleted_at)
    )


def tasks(connection: Connection, job_id: str, *, after: int | None = None, limit: int | None = None) -> list[JobTask]:
    """The tasks of a job in the order they were named; or those noted ``after`` that number, in the order of noting."""
    c = job_tasks.c
    statement = sa.select(*(c[name] for name in JobTask.__slots__)).where(c.job_id == job_id).limit(limit)
    if after is None:
        statement = statement.order_by(c.position)
    else:
        statement = statement.where(c.number > after).order_by(c.number)
    return [_task(row) for row in connection.execute(statement)]


def totals(connection: Connection, job_ids: Sequence[str]) -> dict[str, Totals]:
    """How far these jobs are."""
    c = job_tasks.c
    counted = sa.func.coalesce
    statement = (
        sa.select(
            c.job_id,
            sa.func.sum(sa.case((c.outcome == TaskOutcome.DELETED, 1), else_=0)),
            sa.func.sum(sa.case((c.outcome == TaskOutcome.FAILED, 1), else_=0)),
            counted(sa.func.sum(c.files), 0),
            counted(sa.func.sum(c.size_bytes), 0),
        )
        .where(c.job_id.in_(job_ids))
        .group_by(c.job_id)
    )
    return {row[0]: Totals(*map(int, row[1:])) for row in connection.execute(statement)}


def forget(connection: Connection, before: datetime) -> int:
    """Forget some of the jobs that ended before that instant; how many, 0 if there are none left."""
    chosen = sa.select(jobs.c.job_id).where(jobs.c.finished_at < before).limit(_FORGOTTEN_AT_ONCE)
    ids = list(connection.execute(chosen).scalars())
    connection.execute(job_tasks.delete().where(job_tasks.c.job_id.in_(ids)))
    connection.execute(jobs.delete().where(jobs.c.job_id.in_(ids)))
    return len(ids)


def _jobs() -> sa.Select[Any]:
    return sa.select(*(jobs.c[name] for name in Job.__slots__))


def _job(row: sa.Row[Any]) -> Job:
    values = dict(row._mapping)
    return Job(**{**values, "state": JobState(values["state"])})


def _task(row: sa.Row[Any]) -> JobTask:
    values = dict(row._mapping)
    outcome = values["outcome"]
    read = {"task_id": _read(values["task_id"]), "outcome": None if outcome is None else TaskOutcome(outcome)}
    return JobTask(**{**values, **read})


def _written(task_id: str) -> str:
    """A task id as it is; anything else as JSON text, since PostgreSQL takes no NUL."""
    return json.dumps(task_id)[1:-1]


def _read(text: str) -> str:
    return str(json.loads(f'"{text}"'))
