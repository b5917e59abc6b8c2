"""``GET /api/v0/jobs/{job_id}/events``: what happens to a job, as server-sent events, from the first task on.

The outcomes of tasks are numbered in the journal, so a client that lost its connection, or found the daemon started
again, goes on after the ``Last-Event-ID`` it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aiohttp import web

from daemon import log
from daemon.catalog.jobs import JobTask, TaskOutcome
from daemon.errors import CatalogNotReady, CatalogUnavailable, SweepdError
from daemon.jobs import failures
from daemon.jobs.journal import Journal, Shown
from daemon.web.context import ApiContext
from daemon.web.errors import ApiCode, ApiError
from daemon.web.job_runner import JobRunner, Run
from daemon.web.jobs import checked, document, progress_document, recorded
from daemon.web.work import Workers

_log = log.get(__name__)

MOST_LISTENERS: Final = 64
_EVERY_S: Final = 0.5  # so there are two progress events a second at most
_HEARTBEAT_S: Final = 15.0
_WRITE_TIMEOUT_S: Final = 30.0  # a client that reads nothing for so long is let go
_AT_ONCE: Final = 500
_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
_NUMBER: Final = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class _Seen:
    """``more``: there are further news at once. ``over``: the job as it has ended."""

    news: Sequence[JobTask] = ()
    more: bool = False
    progress: Mapping[str, Any] | None = None
    over: Shown | None = None


class Events:
    """The handler. A listener is a coroutine that looks now and then: it takes no thread while it waits."""

    def __init__(self, context: ApiContext, workers: Workers, journal: Journal, runner: JobRunner) -> None:
        self._context = context
        self._workers = workers
        self._journal = journal
        self._runner = runner
        self._listeners = 0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The events after ``Last-Event-ID``. 204 if the client has had all of them: then it does not come back.

        Raises SweepdError (JOB_NOT_FOUND) and ApiError (TOO_MANY_REQUESTS).
        """
        job_id = checked(request)
        given = request.headers.get("Last-Event-ID", "0")
        after = int(given) if _NUMBER.fullmatch(given) else 0
        if self._listeners >= MOST_LISTENERS:
            raise ApiError(ApiCode.TOO_MANY_REQUESTS)
        self._count(1)
        try:
            shown = await self._workers.read(lambda: self._journal.find(job_id))
            if shown.job.state.ended and after > shown.job.tasks_total:
                return web.Response(status=204)
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            if request.method != "HEAD":
                try:
                    await self._follow(request, response, job_id, after)
                except (ConnectionError, TimeoutError):  # the client has gone, or reads nothing
                    pass
                except Exception as error:
                    # the head of the answer is out: no other answer can follow, and no end that looks like one
                    known = isinstance(error, SweepdError)
                    reason = str(error) if known else type(error).__name__
                    _log.error("events_cut_off", job_id=job_id, reason=reason, exc_info=not known)
                    if request.transport is not None:
                        request.transport.abort()
            return response
        finally:
            self._count(-1)

    async def _follow(self, request: web.Request, response: web.StreamResponse, job_id: str, after: int) -> None:
        loop = asyncio.get_running_loop()
        told: Mapping[str, Any] | None = None
        caught_up = False
        sent_at = loop.time()
        await _write(response, "retry: 2000\n\n")
        while not self._runner.stopping.is_set() and request.transport is not None:
            try:
                seen = await self._look(job_id, after, caught_up)
            except (CatalogUnavailable, CatalogNotReady):
                # An EventSource that is cut off would come back to a 503, and after that never again.
                seen = _Seen()
            else:
                caught_up = caught_up or not seen.more
            text = "".join(_event("task", _task(task), task.number) for task in seen.news)
            if seen.news:
                after = seen.news[-1].number or after
            if seen.progress not in (None, told):
                told = seen.progress
                text += _event("progress", seen.progress)
            if seen.over is not None:
                job = seen.over.job
                await _write(response, text + _event("end", document(job, recorded(seen.over)), job.tasks_total + 1))
                return
            if not text and loop.time() - sent_at >= _HEARTBEAT_S:
                text = ":\n\n"
            if text:
                await _write(response, text)
                sent_at = loop.time()
            if not seen.more:
                await self._pause()

    async def _look(self, job_id: str, after: int, caught_up: bool) -> _Seen:
        run = self._runner.find(job_id)
        if run is None or not caught_up:
            news = await self._workers.read(partial(self._journal.noted, job_id, after, _AT_ONCE))
            if len(news) == _AT_ONCE:
                return _Seen(news, more=True)
        else:
            news = _since(run, after)
        if run is not None:
            return _Seen(news, progress=progress_document(self._runner.progress(run)))
        found = await self._workers.read(lambda: self._journal.find(job_id))
        last = (news[-1].number if news else None) or after
        if found.job.state.ended and last < found.job.tasks_total:  # by now: what was noted since the first look?
            late = await self._workers.read(partial(self._journal.noted, job_id, last, _AT_ONCE))
            if late:
                return _Seen([*news, *late], more=True)
        return _Seen(news, progress=progress_document(recorded(found)), over=found if found.job.state.ended else None)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._runner.stopping.wait(), _EVERY_S)

    def _count(self, change: int) -> None:
        self._listeners += change
        self._context.metrics.jobs.listeners(self._listeners)


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(_WRITE_TIMEOUT_S):
        await response.write(text.encode("utf-8"))


def _since(run: Run, after: int) -> list[JobTask]:
    if not run.done:
        return []
    first = run.done[0].number or 0
    return run.done[max(0, after - first + 1) :]


def _event(name: str, data: Mapping[str, Any], number: int | None = None) -> str:
    line = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{line}data: {json.dumps(data)}\n\n"


def _task(task: JobTask) -> dict[str, Any]:
    told: dict[str, Any] = {"task_id": task.task_id, "outcome": task.outcome}
    if task.outcome is TaskOutcome.FAILED and task.error is not None:
        told["error_code"] = failures.code(task.error) or ApiCode.INTERNAL_ERROR
    if task.deletion_id is not None:
        told["deletion_id"] = task.deletion_id
    return told
