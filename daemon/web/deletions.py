"""``DELETE …/tasks/{task_id}`` and ``DELETE …/tasks``."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from daemon.deletion.models import Outcome, Request, Trigger, What
from daemon.sizes import format_size
from daemon.web import answers, bodies
from daemon.web.batch import BatchReport, run_batch
from daemon.web.bodies import BatchBody, SingleBody
from daemon.web.context import ApiContext
from daemon.web.errors import ApiCode, ApiError
from daemon.web.health import require_recovered
from daemon.web.messages import Language
from daemon.web.work import Workers

MAX_BODY = 1024 * 1024  # bytes
BODY_TIMEOUT_S = 10.0


class Deletions:
    """The two handlers."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def one(self, request: web.Request) -> web.Response:
        """Delete the task of the URL. Whatever the URL holds goes to the engine, which knows what an id is."""
        require_recovered(self._context)
        body = bodies.check(SingleBody, await _json(request))
        wanted = _wanted(request, body, request.match_info["task_id"])
        outcome = await self._workers.delete(lambda: self._context.engine.delete(wanted))
        return answers.success(request, "TASK_DELETED", data=_deleted(outcome))

    async def many(self, request: web.Request) -> web.Response:
        """Delete several tasks. 200 whatever became of them: the answer says it for each."""
        require_recovered(self._context)
        body = bodies.check(BatchBody, await _json(request))
        task_ids = body.distinct_ids
        if len(task_ids) > self._context.server.max_batch:
            raise bodies.invalid("task_ids", "MUST_BE_FEWER", limit=self._context.server.max_batch)
        wanted = [_wanted(request, body, task_id) for task_id in task_ids]
        report = await self._workers.delete(
            lambda: run_batch(
                self._context.engine,
                self._context.catalog,
                wanted,
                continue_on_error=body.continue_on_error,
                stopping=self._workers.stopping.is_set,
            )
        )
        message = "BATCH_COMPLETE" if report.complete else "BATCH_PARTIAL"
        return answers.success(request, message, data=_summary(report, answers.language(request)))


async def _json(request: web.Request) -> dict[str, Any]:
    """The body. Raises ApiError: a query, another media type, too large, too slow, not a JSON object."""
    if request.query_string:  # `?dry_run=true` must not delete either
        names = [bodies.shown(name) for name in request.query] or [bodies.shown(request.query_string)]
        raise ApiError(
            ApiCode.UNKNOWN_PARAMETER, values={"parameters": ", ".join(names)}, fields={"unknown_params": names}
        )
    types = request.headers.getall("Content-Type", ())
    media_types = [value.partition(";")[0].strip().lower() for value in types]
    bodiless = not types and not request.body_exists
    if (media_types != ["application/json"] and not bodiless) or "Content-Encoding" in request.headers:
        raise ApiError(ApiCode.UNSUPPORTED_MEDIA_TYPE)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return bodies.decode(await request.read())
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(ApiCode.BODY_TOO_LARGE, values={"limit": MAX_BODY}) from None
    except TimeoutError:
        raise ApiError(ApiCode.BODY_TIMEOUT, headers={"Connection": "close"}) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise ApiError(ApiCode.BAD_REQUEST) from None  # cut off, or broken chunks


def _wanted(request: web.Request, body: SingleBody | BatchBody, task_id: str) -> Request:
    return Request(
        task_id=task_id,
        what=What.DIRECTORY_AND_RECORDS if body.delete_database_records else What.DIRECTORY,
        trigger=Trigger.API,
        initiator=f"api:{request.remote or 'unknown'}",
        force=body.force,
        retain=body.retain,
    )


def _deleted(outcome: Outcome) -> dict[str, object]:
    census, until = outcome.census, outcome.retained_until
    retained = {} if until is None else {"retained_until": until.isoformat(timespec="seconds")}
    return {
        "task_id": outcome.task_id,
        "directory_deleted": outcome.directory_deleted,
        "database_records_deleted": outcome.records_deleted,
        "deleted_files_count": census.files if census else None,
        "deleted_size": format_size(census.size_bytes) if census else None,
        "deleted_at": outcome.deleted_at.isoformat(timespec="seconds"),
        "deleted_bytes": census.size_bytes if census else None,
        "freed_bytes": census.freed_bytes if census and outcome.retained_until is None else 0,
        "deletion_id": outcome.deletion_id,
        **retained,
    }


def _failed(task_id: str, problem: ApiError, language: Language) -> dict[str, object]:
    entry: dict[str, object] = {
        "task_id": task_id,
        "error": problem.message(language),
        "error_code": problem.code,
    }
    if "current_status" in problem.data:
        entry["current_status"] = problem.data["current_status"]
    elif problem.status in (403, 500) and problem.data:
        entry["details"] = problem.data
    return entry


def _summary(report: BatchReport, language: Language) -> dict[str, object]:
    size_bytes = sum(outcome.counts.size_bytes for outcome in report.deleted)
    return {
        "deleted_tasks": [_deleted(outcome) for outcome in report.deleted],
        "failed_tasks": [_failed(task_id, problem, language) for task_id, problem in report.failed],
        "not_attempted": report.not_attempted,
        "summary": {
            "total_requested": len(report.deleted) + len(report.failed) + len(report.not_attempted),
            "successfully_deleted": len(report.deleted),
            "failed": len(report.failed),
            "not_attempted": len(report.not_attempted),
            "total_size_freed": format_size(size_bytes),
            "deleted_bytes": size_bytes,
            "freed_bytes": sum(o.counts.freed_bytes for o in report.deleted if o.retained_until is None),
        },
        "deleted_at": report.deleted_at and report.deleted_at.isoformat(timespec="seconds"),
    }
