"""Drives the jobs from the event loop: which of them run, and what they do meanwhile. The work itself is on threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any, Final

from daemon import clock, log
from daemon.catalog.jobs import Job, JobTask
from daemon.errors import SweepdError
from daemon.jobs.journal import Journal
from daemon.jobs.progress import Progress
from daemon.jobs.work import JobWork
from daemon.web.context import ApiContext
from daemon.web.errors import ApiCode, ApiError
from daemon.web.lanes import Lane
from daemon.web.work import Workers

_log = log.get(__name__)
_LOOK_S: Final = 0.2
_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 300.0
_PATIENCE_S: Final = 5.0


class Run:
    """A job that has not ended. ``done`` are the outcomes of this process, in the order of their numbers."""

    def __init__(self, work: JobWork) -> None:
        self.work = work
        self.done: list[JobTask] = []
        self.wake = asyncio.Event()
        self.over = asyncio.Event()
        self.stepped_at: float | None = None


class JobRunner:
    """All jobs of this process. Half of the threads for deletions is the most that run at the same time."""

    def __init__(self, context: ApiContext, workers: Workers, journal: Journal) -> None:
        self._context = context
        self._workers = workers
        self._journal = journal
        self._most = max(1, context.deletion_threads // 2)
        self._runs: dict[str, Run] = {}
        self._queue: deque[Run] = deque()
        self._running: set[Run] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = 0
        self.stopping = asyncio.Event()

    def start(self) -> None:
        """Go on with the jobs of earlier, as soon as recovery has run."""
        self._spawn(self._resume())

    async def stop(self) -> None:
        """Begin nothing further, and wait for the groups in hand. The next start goes on with the rest."""
        self.stopping.set()
        for run in self._runs.values():
            run.wake.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def find(self, job_id: str) -> Run | None:
        """The job, unless it has ended."""
        return self._runs.get(job_id)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for one more job. Raises ApiError: TOO_MANY_REQUESTS or SHUTTING_DOWN."""
        if self.stopping.is_set():
            raise ApiError(ApiCode.SHUTTING_DOWN)
        if len(self._runs) + self._accepting >= self._context.server().max_waiting:
            raise ApiError(ApiCode.TOO_MANY_REQUESTS)
        self._accepting += 1
        try:
            yield
        finally:
            self._accepting -= 1

    def add(self, job: Job) -> None:
        """Let a job run when it is its turn, unless it does already or has ended."""
        if job.job_id in self._runs or job.state.ended:
            return
        run = Run(JobWork(self._context.engine, self._context.catalog, job))
        self._runs[job.job_id] = run
        if run.work.cancelled:
            self._launch(run)
        else:
            self._queue.append(run)
            self._dispatch()

    async def cancel(self, job_id: str) -> None:
        """End a job early: one that is queued has ended afterwards, unless the database is away."""
        run = self._runs.get(job_id)
        if run is None:  # it has ended, or the journal tells those who go on with it
            return
        run.work.cancelled = True
        run.wake.set()
        if run in self._queue:
            self._queue.remove(run)
            self._launch(run)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(run.over.wait(), _PATIENCE_S)

    def progress(self, run: Run) -> Progress:
        """How far it is now."""
        return run.work.meter.read(self._context.purges, run.work.at_work)

    def stall(self) -> float:
        """How long ago, in seconds, the running job made its last step that has waited longest for one."""
        now = clock.monotonic()
        return max((now - run.stepped_at for run in self._running if run.stepped_at is not None), default=0.0)

    async def _resume(self) -> None:
        while not self.stopping.is_set():
            if self._context.readiness().get("recovery") is None:
                try:
                    for job in await self._workers.read(self._journal.unfinished):
                        self.add(job)
                    return
                except SweepdError as error:
                    _log.warning("jobs_wait", error=error.code, reason=str(error))
                    await self._pause(_RETRY_S)
            await self._pause(_LOOK_S)

    def _dispatch(self) -> None:
        while self._queue and len(self._running) < self._most and not self.stopping.is_set():
            self._launch(self._queue.popleft())
        self._tell()

    def _launch(self, run: Run) -> None:
        self._running.add(run)
        self._spawn(self._drive(run))

    async def _drive(self, run: Run) -> None:
        work = run.work
        with log.bound(anew=True, job_id=work.job.job_id):  # not with those of whoever launched it
            run.stepped_at = clock.monotonic()
            try:
                while not work.ended and not self.stopping.is_set():
                    run.wake.clear()
                    await self._step(run)
                    if not work.wait_s:
                        run.stepped_at = clock.monotonic()
                    if work.wait_s and not work.cancelled:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(run.wake.wait(), work.wait_s)
                    elif work.wait_s:
                        await self._pause(work.wait_s)
            except ApiError:  # the pool is closed
                pass
            except Exception as error:
                await self._abandon(run, error)
            finally:
                del self._runs[work.job.job_id]
                self._running.discard(run)
                run.over.set()
                if work.ended:
                    self._context.metrics.jobs.ended(work.job.state)
                self._dispatch()

    async def _abandon(self, run: Run, error: Exception) -> None:
        """Let a job end that has met a bug, as soon as the database takes it; the next start goes on with it else.

        Those who follow it read from the journal what is noted thereby.
        """
        work, wait_s = run.work, _RETRY_S
        names = [ascii(task_id)[:80] for task_id in work.at_work]
        _log.error("job_crashed", job_id=work.job.job_id, task_ids=names, exc_info=error)
        while not work.ended and not self.stopping.is_set():
            try:
                await self._workers.write(lambda: work.abandon(error))
            except ApiError:  # the pool is closed
                return
            except SweepdError as away:
                _log.warning("job_waits", error=away.code, reason=str(away), seconds=_RETRY_S)
                await self._pause(_RETRY_S)
            except Exception as again:
                _log.error("job_crashed", job_id=work.job.job_id, task_ids=[], exc_info=again)
                await self._pause(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_RETRY_S)

    async def _step(self, run: Run) -> None:
        if run.work.cancelled:  # it only has to be noted, and waits for no turn
            run.done += await self._workers.write(run.work.step)
        else:
            run.done += await self._workers.delete(run.work.step, Lane.JOB)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self) -> None:
        queued = len(self._queue)
        self._context.metrics.jobs.unfinished(queued, len(self._runs) - queued)
