"""One job at work: group by group, each noted before the next one begins."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from daemon import log
from daemon.catalog import inventory, jobs
from daemon.catalog.catalog import Catalog
from daemon.catalog.jobs import Job, JobState, JobTask, TaskOutcome
from daemon.deletion.engine import Engine
from daemon.errors import SweepdError
from daemon.jobs import crash, journal
from daemon.jobs.batch import Batch, Result
from daemon.jobs.progress import Meter
from daemon.jobs.recall import recall
from daemon.storage.names import is_task_id

_log = log.get(__name__)
_RETRY_S = 2.0


class JobWork:
    """Runs one job to its end, however often it was begun before. ``step`` on one thread at a time."""

    def __init__(self, engine: Engine, catalog: Catalog, job: Job) -> None:
        self._engine = engine
        self._catalog = catalog
        self._batch: Batch | None = None
        self._tasks: dict[str, JobTask] = {}
        self._unnoted: list[JobTask] = []
        self._number = 0
        self.job = job
        self.cancelled = job.cancelled_by is not None
        self.meter = Meter(job.tasks_total)
        self.ended = False
        self.wait_s = 0.0
        """How long to wait before the next step."""

    @property
    def at_work(self) -> tuple[str, ...]:
        """The tasks of the group in hand."""
        return () if self._batch is None else self._batch.at_work

    def step(self) -> list[JobTask]:
        """Go on a little; the tasks of which something is noted now. While the database is away it only waits."""
        self.wait_s = 0.0
        try:
            if self._batch is None:
                self._batch = self._begin()
            if self.ended:
                return []
            if not self._unnoted:
                self._attempt(self._batch)
            return self._note(self._batch)
        except SweepdError as error:
            _log.warning("job_waits", job_id=self.job.job_id, error=error.code, reason=str(error), seconds=_RETRY_S)
            self.wait_s = _RETRY_S
            return []

    def abandon(self, error: Exception) -> None:
        """End the job after a ``step`` has raised: a bug. Raises SweepdError while the database is away."""
        kept = self._unnoted
        try:
            found, done = crash.end_with_what_is_certain(
                self._catalog, self.job, error, unnoted=kept, at_work=self.at_work, cancelled=self.cancelled
            )
        except SweepdError:
            raise
        except Exception as again:
            _log.error("job_crashed", job_id=self.job.job_id, task_ids=[], exc_info=again)
            found, done = crash.end_blindly(self._catalog, self.job, error)
        self.job, self.ended = found, True
        for task in done:
            self._count(task)
        self._tell_end()

    def _begin(self) -> Batch:
        job = self.job
        with self._catalog.write() as session:
            if job.state is JobState.RUNNING or not self.cancelled:
                jobs.begin(session.connection, job.job_id)
            found = jobs.find(session.connection, job.job_id)
            tasks = jobs.tasks(session.connection, job.job_id)
            waiting = [task for task in tasks if task.outcome is None]
            ids = [task.task_id for task in waiting if is_task_id(task.task_id)]
            expected = inventory.measured(session.connection, ids)
        if found is not None and found.state.ended:  # since it was listed
            self.job, self.ended = found, True
            return Batch(self._engine, [], continue_on_error=True)
        for task in tasks:
            if task.outcome is not None:
                self._count(task)
                self._number = max(self._number, task.number or 0)
        failed = any(task.outcome is TaskOutcome.FAILED for task in tasks)
        self._tasks = {task.task_id: task for task in waiting}
        batch = Batch(
            self._engine,
            [journal.request_of(job, task.task_id) for task in waiting],
            continue_on_error=job.continue_on_error,
            patient=True,
            recall=partial(recall, self._catalog, job.job_id),
            begun_before=job.state is JobState.RUNNING,
        )
        self.job = found or job
        # asked for before this process had the job in its list
        self.cancelled = self.cancelled or self.job.cancelled_by is not None
        self.meter.start(expected)
        _log.info("job_started", job_id=job.job_id, initiator=job.initiator, tasks=job.tasks_total, left=len(waiting))
        if failed and not job.continue_on_error:  # it was cut off between the failure and its end
            self._take(batch.give_up())
        return batch

    def _attempt(self, batch: Batch) -> None:
        if batch.ended:
            return
        self._take(batch.give_up() if self.cancelled else batch.step())
        self.wait_s = batch.wait_s

    def _take(self, done: Sequence[tuple[str, Result | None]]) -> None:
        for task_id, result in done:
            self._number += 1
            self._unnoted.append(journal.noted(self._tasks.pop(task_id), self._number, result))

    def _note(self, batch: Batch) -> list[JobTask]:
        done, job = self._unnoted, self.job
        if not done and not batch.ended:
            return []
        found: Job | None = None
        with self._catalog.write() as session:
            jobs.note(session.connection, job.job_id, done)
            if batch.ended:
                found = journal.end(session, job.job_id, cancelled=self.cancelled)
        self._unnoted = []
        for task in done:
            self._count(task)
        if found is not None:
            self.job, self.ended = found, True
            self._tell_end()
        return done

    def _tell_end(self) -> None:
        job, meter = self.job, self.meter
        _log.info(
            "job_finished",
            job_id=job.job_id,
            initiator=job.initiator,
            outcome=job.state,
            requested=meter.tasks_total,
            deleted=meter.deleted,
            failed=meter.failed,
            not_attempted=meter.tasks_total - meter.deleted - meter.failed,
            files=meter.files,
            bytes=meter.size_bytes,
        )

    def _count(self, task: JobTask) -> None:
        meter = self.meter
        meter.tasks_done += 1
        meter.deleted += task.outcome is TaskOutcome.DELETED
        meter.failed += task.outcome is TaskOutcome.FAILED
        meter.files += task.files or 0
        meter.size_bytes += task.size_bytes or 0
        meter.forget(task.task_id)
