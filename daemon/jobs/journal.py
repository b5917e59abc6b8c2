"""Jobs as they are kept: made, listed, cancelled, and read back as the report of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from daemon import clock
from daemon.catalog import jobs
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.jobs import Job, JobState, JobTask, TaskOutcome, Totals
from daemon.deletion.models import Origin, Outcome, Request, Trigger, What
from daemon.errors import ErrorCode, SweepdError
from daemon.jobs import failures
from daemon.jobs.batch import BatchReport, Result, latest
from daemon.storage.census import Census


class Kind(StrEnum):
    """What was asked for: one task by its address, or several."""

    TASK = "task"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Shown:
    """A job and how far it is; ``report`` once it has ended, if it was asked for."""

    job: Job
    totals: Totals
    report: BatchReport | None = None


class Journal:
    """The jobs of one catalog. Blocking. Every method raises CatalogUnavailable or CatalogNotReady."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def make(self, job_id: str, kind: Kind, requests: Sequence[Request], *, continue_on_error: bool) -> Job:
        """Keep a new job; the one that is there if it was made before. All requests differ in their task only."""
        first = requests[0]
        job = Job(
            job_id=job_id,
            kind=kind,
            initiator=first.initiator,
            delete_database_records=first.what.records,
            force=first.force,
            retain_seconds=None if first.retain is None else int(first.retain.total_seconds()),
            continue_on_error=continue_on_error,
            tasks_total=len(requests),
            created_at=clock.now(),
            client=first.origin.client,
            request_id=first.origin.request_id,
            reason=first.reason,
        )
        with self._catalog.write() as session:
            found = jobs.find(session.connection, job_id)
            if found is None:
                jobs.add(session.connection, job, [request.task_id for request in requests])
        return found or job

    def find(self, job_id: str) -> Shown:
        """That job, with its report if it has ended. Raises SweepdError (JOB_NOT_FOUND)."""
        with self._catalog.read() as session:
            job = jobs.find(session.connection, job_id)
            if job is None:
                raise not_found(job_id)
            totals = jobs.totals(session.connection, [job_id]).get(job_id, Totals())
            tasks = jobs.tasks(session.connection, job_id) if job.state.ended else []
        return Shown(job, totals, _report(job, tasks) if job.state.ended else None)

    def recent(self, state: JobState | None, before: str | None, limit: int) -> list[Shown]:
        """The newest first, those made before the job ``before``."""
        with self._catalog.read() as session:
            found = jobs.recent(session.connection, state=state, before=before, limit=limit)
            totals = jobs.totals(session.connection, [job.job_id for job in found])
        return [Shown(job, totals.get(job.job_id, Totals())) for job in found]

    def noted(self, job_id: str, after: int, limit: int) -> list[JobTask]:
        """The tasks of which something was noted after that number."""
        with self._catalog.read() as session:
            return jobs.tasks(session.connection, job_id, after=after, limit=limit)

    def unfinished(self) -> list[Job]:
        """What is queued or running, the oldest first."""
        with self._catalog.read() as session:
            return jobs.unfinished(session.connection)

    def cancel(self, job_id: str, by: str) -> Job:
        """Remember that the job is to end. Raises SweepdError (JOB_NOT_FOUND, JOB_ENDED)."""
        with self._catalog.write() as session:
            job = jobs.find(session.connection, job_id, lock=True)
            if job is None:
                raise not_found(job_id)
            if job.state.ended:
                details = {"job_id": job_id, "state": job.state, "reason": "there is nothing left to cancel"}
                message = f"the job {job_id} has ended: it is {job.state}"
                raise SweepdError(message, code=ErrorCode.JOB_ENDED, details=details)
            jobs.cancel(session.connection, job_id, by)
        return job


def end(session: Session, job_id: str, *, cancelled: bool) -> Job | None:
    """End a job of which every task is noted, in the transaction that notes the last one; the job as it is then."""
    tasks = jobs.tasks(session.connection, job_id)
    cut_short = cancelled and any(task.outcome is TaskOutcome.NOT_ATTEMPTED for task in tasks)
    state = JobState.CANCELLED if cut_short else JobState.FINISHED
    jobs.end(session.connection, job_id, state, latest(tasks) or session.now.stamp)
    return jobs.find(session.connection, job_id)


def not_found(job_id: str) -> SweepdError:
    """There is no such job."""
    message = f"there is no job {ascii(job_id)[:80]}, or it was forgotten; list them"
    return SweepdError(message, code=ErrorCode.JOB_NOT_FOUND)


def request_of(job: Job, task_id: str) -> Request:
    """What the engine is asked for one task of the job."""
    return Request(
        task_id=task_id,
        what=What.DIRECTORY_AND_RECORDS if job.delete_database_records else What.DIRECTORY,
        trigger=Trigger.API,
        initiator=job.initiator,
        force=job.force,
        retain=None if job.retain_seconds is None else timedelta(seconds=job.retain_seconds),
        job_id=job.job_id,
        origin=Origin(job.client, job.request_id),
        reason=job.reason,
        retried=True,
    )


def noted(task: JobTask, number: int, result: Result | None) -> JobTask:
    """The task with what became of it; None: it is not attempted."""
    if result is None:
        return JobTask(task.position, task.task_id, number, TaskOutcome.NOT_ATTEMPTED)
    if isinstance(result, Exception):
        return JobTask(task.position, task.task_id, number, TaskOutcome.FAILED, error=failures.to_json(result))
    census = result.census
    return JobTask(
        position=task.position,
        task_id=task.task_id,
        number=number,
        outcome=TaskOutcome.DELETED,
        deletion_id=result.deletion_id,
        directory_deleted=result.directory_deleted,
        records_deleted=result.records_deleted,
        files=census.files if census else None,
        directories=census.directories if census else None,
        size_bytes=census.size_bytes if census else None,
        freed_bytes=census.freed_bytes if census else None,
        deleted_at=result.deleted_at,
        retained_until=result.retained_until,
    )


def _report(job: Job, tasks: Sequence[JobTask]) -> BatchReport:
    report = BatchReport(deleted_at=job.deleted_at)
    for task in tasks:
        if task.outcome is TaskOutcome.DELETED:
            report.deleted.append(_outcome(task))
        elif task.outcome is TaskOutcome.FAILED and task.error is not None:
            report.failed.append((task.task_id, failures.from_json(task.error)))
        else:
            report.not_attempted.append(task.task_id)
    return report


def _outcome(task: JobTask) -> Outcome:
    assert task.deleted_at is not None  # what was deleted has a time
    census = None
    if task.files is not None:
        assert task.directories is not None
        assert task.size_bytes is not None
        assert task.freed_bytes is not None
        census = Census(task.files, task.directories, task.size_bytes, task.freed_bytes)
    return Outcome(
        task_id=task.task_id,
        deletion_id=task.deletion_id,
        directory_deleted=bool(task.directory_deleted),
        records_deleted=bool(task.records_deleted),
        census=census,
        deleted_at=task.deleted_at,
        retained_until=task.retained_until,
    )
