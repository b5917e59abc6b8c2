"""``DELETE …/tasks/{task_id}`` and ``DELETE …/tasks``."""

from __future__ import annotations

from aiohttp import web

from daemon.deletion.models import Outcome, Request, Trigger, What
from daemon.errors import ErrorCode
from daemon.sizes import format_size
from daemon.web import answers, bodies
from daemon.web.batch import BatchReport, run_batch
from daemon.web.bodies import BatchBody, SingleBody
from daemon.web.body import read_json
from daemon.web.caller import Scope, caller
from daemon.web.context import ApiContext
from daemon.web.errors import ApiError
from daemon.web.health import require_recovered
from daemon.web.messages import Language
from daemon.web.work import Workers


class Deletions:
    """The two handlers."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def one(self, request: web.Request) -> web.Response:
        """Delete the task of the URL. Whatever the URL holds goes to the engine, which knows what an id is."""
        require_recovered(self._context)
        body = bodies.check(SingleBody, await read_json(request))
        wanted = _wanted(request, body, request.match_info["task_id"])
        outcome = await self._workers.delete(lambda: self._context.engine.delete(wanted))
        return answers.success(request, "TASK_DELETED", data=_deleted(outcome))

    async def many(self, request: web.Request) -> web.Response:
        """Delete several tasks. 200 whatever became of them: the answer says it for each."""
        require_recovered(self._context)
        body = bodies.check(BatchBody, await read_json(request))
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


def _wanted(request: web.Request, body: SingleBody | BatchBody, task_id: str) -> Request:
    asking = caller(request)
    if body.delete_database_records or body.force:
        asking.require(Scope.ADMIN)
    return Request(
        task_id=task_id,
        what=What.DIRECTORY_AND_RECORDS if body.delete_database_records else What.DIRECTORY,
        trigger=Trigger.API,
        initiator=asking.initiator,
        force=body.force,
        retain=body.retain,
        origin=answers.origin(request),
        reason=body.reason,
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
        "hint": problem.hint(language),
    }
    if "current_status" in problem.data:
        entry["current_status"] = problem.data["current_status"]
    elif (problem.status in (403, 500) or problem.code is ErrorCode.TASK_HELD) and problem.data:
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
