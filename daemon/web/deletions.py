"""``DELETE …/tasks/{task_id}`` and ``DELETE …/tasks``: at once, or as a job."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from aiohttp import web

from daemon.deletion.models import Outcome, Request, Trigger, What
from daemon.errors import SweepdError
from daemon.jobs.batch import Batch, BatchReport
from daemon.jobs.journal import Kind
from daemon.jobs.recall import recall
from daemon.storage.names import check_task_id
from daemon.web import answers, bodies, results
from daemon.web.batch import run_batch
from daemon.web.bodies import BatchBody, SingleBody
from daemon.web.body import batch_bytes, read_json
from daemon.web.caller import Scope, caller
from daemon.web.context import ApiContext
from daemon.web.errors import explain
from daemon.web.health import require_recovered
from daemon.web.idempotency import PASSING, Idempotency, Key
from daemon.web.jobs import Jobs
from daemon.web.work import Workers


class Deletions:
    """The two handlers."""

    def __init__(self, context: ApiContext, workers: Workers, idempotency: Idempotency, jobs: Jobs) -> None:
        self._context = context
        self._workers = workers
        self._idempotency = idempotency
        self._jobs = jobs

    async def one(self, request: web.Request) -> web.Response:
        """Delete the task of the URL. Whatever the URL holds goes to the engine, which knows what an id is."""
        require_recovered(self._context)
        values = await read_json(request)
        body = bodies.check(SingleBody, values)
        _check_scope(request, body)
        task_id = request.match_info["task_id"]
        asynchronous = body.asynchronous or prefers_async(request)
        if asynchronous:
            check_task_id(task_id)

        async def perform(key: Key) -> web.Response:
            wanted = _wanted(request, body, task_id, key)
            if asynchronous:
                return await self._background(request, Kind.TASK, [wanted], key, body)
            outcome = await self._workers.delete(partial(self._delete, wanted, key))
            return answers.success(request, "TASK_DELETED", data=results.deleted(outcome))

        return await self._idempotency.run(request, values, perform)

    async def many(self, request: web.Request) -> web.Response:
        """Delete several tasks. 200 whatever became of them: the answer says it for each."""
        require_recovered(self._context)
        limit = self._context.server().max_batch
        values = await read_json(request, most=batch_bytes(limit))
        body = bodies.check(BatchBody, values)
        _check_scope(request, body)
        task_ids = body.distinct_ids
        if len(task_ids) > limit:
            raise bodies.invalid("task_ids", "MUST_BE_FEWER", limit=limit)

        async def perform(key: Key) -> web.Response:
            wanted = [_wanted(request, body, task_id, key) for task_id in task_ids]
            if body.asynchronous or prefers_async(request):
                return await self._background(request, Kind.BATCH, wanted, key, body)
            return await self._batch(request, wanted, key, body)

        return await self._idempotency.run(request, values, perform)

    def _delete(self, wanted: Request, key: Key) -> Outcome:
        if key.begun_before and key.job_id is not None:
            found = recall(self._context.catalog, key.job_id, [wanted.task_id]).get(wanted.task_id)
            if isinstance(found, SweepdError):
                raise found
            if found is not None:
                return found
        return self._context.engine.delete(wanted)

    async def _batch(self, request: web.Request, wanted: Sequence[Request], key: Key, body: BatchBody) -> web.Response:
        catalog = self._context.catalog
        batch = Batch(
            self._context.engine,
            wanted,
            continue_on_error=body.continue_on_error,
            recall=None if key.job_id is None else partial(recall, catalog, key.job_id),
            begun_before=key.begun_before,
        )
        report = await self._workers.to_the_end(run_batch(batch, catalog, self._workers))
        message = "BATCH_COMPLETE" if report.complete else "BATCH_PARTIAL"
        response = answers.success(request, message, data=results.summary(report, answers.language(request)))
        response[PASSING] = _passing(report, body)
        return response

    async def _background(
        self, request: web.Request, kind: Kind, wanted: Sequence[Request], key: Key, body: SingleBody | BatchBody
    ) -> web.Response:
        go_on = body.continue_on_error if isinstance(body, BatchBody) else True
        response = await self._jobs.accept(request, kind, wanted, key=key, continue_on_error=go_on)
        if prefers_async(request):
            response.headers["Preference-Applied"] = "respond-async"
        return response


def prefers_async(request: web.Request) -> bool:
    """Whether the client says ``Prefer: respond-async`` (RFC 7240), among other wishes perhaps."""
    wishes = ",".join(request.headers.getall("Prefer", ())).split(",")
    return any(wish.partition(";")[0].strip().lower() == "respond-async" for wish in wishes)


def _passing(report: BatchReport, body: BatchBody) -> bool:
    """Whether a retry may fare better: something failed by what passes, or was left without a failure to end it."""
    left = bool(report.not_attempted) and (body.continue_on_error or not report.failed)
    return left or any(explain(error).passing for _, error in report.failed)


def _check_scope(request: web.Request, body: SingleBody | BatchBody) -> None:
    if body.delete_database_records or body.force:
        caller(request).require(Scope.ADMIN)


def _wanted(request: web.Request, body: SingleBody | BatchBody, task_id: str, key: Key) -> Request:
    return Request(
        task_id=task_id,
        what=What.DIRECTORY_AND_RECORDS if body.delete_database_records else What.DIRECTORY,
        trigger=Trigger.API,
        initiator=caller(request).initiator,
        force=body.force,
        retain=body.retain,
        job_id=key.job_id,
        origin=answers.origin(request),
        reason=body.reason,
    )
