"""What became of deletions, as the answers show it."""

from __future__ import annotations

from daemon.deletion.models import Outcome
from daemon.errors import ErrorCode
from daemon.jobs.batch import BatchReport
from daemon.sizes import format_size
from daemon.web.errors import explain
from daemon.web.messages import Language


def deleted(outcome: Outcome) -> dict[str, object]:
    """One task that was deleted."""
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


def summary(report: BatchReport, language: Language) -> dict[str, object]:
    """A whole batch."""
    size_bytes = sum(outcome.counts.size_bytes for outcome in report.deleted)
    return {
        "deleted_tasks": [deleted(outcome) for outcome in report.deleted],
        "failed_tasks": [_failed(task_id, error, language) for task_id, error in report.failed],
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


def _failed(task_id: str, error: Exception, language: Language) -> dict[str, object]:
    problem = explain(error, task_id)
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
