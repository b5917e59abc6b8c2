"""``/api/v0/jobs``: deletions in the background, listed, shown and cancelled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import web

from daemon.catalog.jobs import Job, JobState
from daemon.deletion.models import Request
from daemon.durations import format_duration
from daemon.errors import ErrorCode, SweepdError
from daemon.jobs.journal import Journal, Kind, Shown, not_found
from daemon.jobs.progress import Progress
from daemon.storage.trash import new_deletion_id
from daemon.web import answers, bodies, results
from daemon.web.bodies import NoBody
from daemon.web.body import read_json
from daemon.web.caller import caller
from daemon.web.context import ApiContext
from daemon.web.health import require_recovered
from daemon.web.idempotency import Key
from daemon.web.job_runner import JobRunner
from daemon.web.list_queries import JobsQuery
from daemon.web.messages import Language
from daemon.web.queries import check_query
from daemon.web.work import Workers

JOBS: Final = "/api/v0/jobs"
_ID: Final = re.compile("[0-9a-f]{28}")


class Jobs:
    """The handlers; ``accept`` makes a job for those that delete."""

    def __init__(self, context: ApiContext, workers: Workers, journal: Journal, runner: JobRunner) -> None:
        self._context = context
        self._workers = workers
        self._journal = journal
        self._runner = runner

    async def accept(
        self,
        request: web.Request,
        kind: Kind,
        wanted: Sequence[Request],
        *,
        key: Key,
        continue_on_error: bool,
    ) -> web.Response:
        """Keep a job and let it run. 202; the same job again if an earlier try with that key has made it.

        Raises ApiError: TOO_MANY_REQUESTS or SHUTTING_DOWN.
        """
        job_id = key.job_id or new_deletion_id()
        shown = await self._made_before(job_id) if key.begun_before else None
        if shown is None:
            with self._runner.place():
                await self._workers.to_the_end(self._make(job_id, kind, wanted, continue_on_error))
            shown = await self._workers.read(lambda: self._journal.find(job_id))
        data = self._document(shown, answers.language(request))
        return answers.success(request, "JOB_ACCEPTED", data=data, status=202, headers={"Location": _url(job_id)})

    async def listed(self, request: web.Request) -> web.Response:
        """The newest first, without their results; ``?state=``, ``?limit=``, ``?cursor=``."""
        query = check_query(JobsQuery, request.query)
        limit = query.limit
        found = await self._workers.read(lambda: self._journal.recent(query.state, query.cursor, limit + 1))
        page = [self.brief(shown) for shown in found[:limit]]
        following = found[limit - 1].job.job_id if len(found) > limit else None
        return answers.success(request, "JOBS_LISTED", data={"jobs": page, "next_cursor": following})

    async def one(self, request: web.Request) -> web.Response:
        """One job, with its result once it has ended."""
        shown = await self._find(request)
        return answers.success(request, "JOB_SHOWN", data=self._document(shown, answers.language(request)))

    async def cancel(self, request: web.Request) -> web.Response:
        """End it early: what has not begun is left alone."""
        require_recovered(self._context)
        bodies.check(NoBody, await read_json(request, optional=True))
        job_id, initiator = checked(request), caller(request).initiator
        await self._workers.write(lambda: self._journal.cancel(job_id, initiator))
        await self._runner.cancel(job_id)
        shown = await self._find(request)
        ends = {JobState.CANCELLED: "JOB_CANCELLED", JobState.FINISHED: "JOB_SHOWN"}  # it was faster
        message = ends.get(shown.job.state, "JOB_CANCELLING")
        return answers.success(request, message, data=self._document(shown, answers.language(request)))

    def brief(self, shown: Shown) -> dict[str, Any]:
        """A job without its result."""
        run = self._runner.find(shown.job.job_id)
        progress = recorded(shown) if run is None or shown.job.state.ended else self._runner.progress(run)
        return document(shown.job, progress)

    def _document(self, shown: Shown, language: Language) -> dict[str, Any]:
        report = shown.report
        return {**self.brief(shown), "result": None if report is None else results.summary(report, language)}

    async def _find(self, request: web.Request) -> Shown:
        job_id = checked(request)
        return await self._workers.read(lambda: self._journal.find(job_id))

    async def _made_before(self, job_id: str) -> Shown | None:
        """The job that is there already: it has its place, or needs none any more."""
        try:
            return await self._workers.read(lambda: self._journal.find(job_id))
        except SweepdError as error:
            if error.code is not ErrorCode.JOB_NOT_FOUND:
                raise
            return None

    async def _make(self, job_id: str, kind: Kind, wanted: Sequence[Request], continue_on_error: bool) -> None:
        job = await self._workers.write(
            lambda: self._journal.make(job_id, kind, wanted, continue_on_error=continue_on_error)
        )
        self._runner.add(job)


def checked(request: web.Request) -> str:
    """The job id of the URL. Raises SweepdError (JOB_NOT_FOUND) if it cannot be one."""
    job_id = request.match_info["job_id"]
    if not _ID.fullmatch(job_id):
        raise not_found(job_id)
    return job_id


def document(job: Job, progress: Progress) -> dict[str, Any]:
    """A job as JSON, without its result."""
    seconds = job.retain_seconds
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "state": job.state,
        "initiator": job.initiator,
        "created_at": _stamp(job.created_at),
        "started_at": _stamp(job.started_at),
        "finished_at": _stamp(job.finished_at),
        "url": _url(job.job_id),
        "events_url": f"{_url(job.job_id)}/events",
        "options": {
            "delete_database_records": job.delete_database_records,
            "force": job.force,
            "retain": None if seconds is None else format_duration(timedelta(seconds=seconds)),
            "continue_on_error": job.continue_on_error,
        },
        "progress": progress_document(progress),
    }


def progress_document(progress: Progress) -> dict[str, Any]:
    """How far a job is, as JSON."""
    values = asdict(progress)
    left = progress.remaining_seconds
    rate = round(progress.files_per_second, 1)
    return {**values, "files_per_second": rate, "remaining_seconds": None if left is None else round(left, 1)}


def recorded(shown: Shown) -> Progress:
    """How far a job is by what was noted: of one that has ended, or waits for the daemon to go on with it."""
    job, totals = shown.job, shown.totals
    done = totals.deleted + totals.failed
    rate = 0.0
    if job.started_at is not None and job.finished_at is not None:
        rate = totals.files / max(1e-3, (job.finished_at - job.started_at).total_seconds())
    return Progress(
        tasks_total=job.tasks_total,
        tasks_done=job.tasks_total if job.state.ended else done,
        deleted=totals.deleted,
        failed=totals.failed,
        files_total=totals.files,
        files_done=totals.files,
        bytes_total=totals.size_bytes,
        bytes_done=totals.size_bytes,
        files_per_second=rate,
        remaining_seconds=0.0 if job.state.ended else None,
    )


def _url(job_id: str) -> str:
    return f"{JOBS}/{job_id}"


def _stamp(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="seconds")
