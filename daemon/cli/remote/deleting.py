"""``sweepd --server URL delete``: one task at once, several as a job whose progress is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from daemon.cli.exits import Exit, status_of_code
from daemon.cli.remote import following
from daemon.cli.remote.server import Server, in_words, status_of
from daemon.cli.render import UNLESS, dump, say, say_message
from daemon.client import ApiError, BadTaskId, Unauthorized
from daemon.client.answers import Batch, Deleted
from daemon.moments import for_people
from daemon.sizes import format_size


def delete(
    server: Server,
    task_ids: Sequence[str],
    *,
    records: bool,
    force: bool,
    retain: str | None,
    reason: str | None = None,
    background: bool,
    wait: bool,
    as_json: bool,
) -> Exit:
    """Delete them. ``background``: one task goes as a job too. Without ``wait`` the job is begun and left."""
    names = list(dict.fromkeys(task_ids))
    with server.client() as client:
        if len(names) == 1 and wait and not background:
            call = partial(client.delete, names[0], records=records, force=force, retain=retain, reason=reason)
            return _delete_one(names[0], call, as_json=as_json)
        chosen = names[0] if len(names) == 1 else names
        job = client.delete_async(chosen, records=records, force=force, retain=retain, reason=reason)
        if wait:
            return following.follow(server, client, job, as_json=as_json)
    if as_json:
        dump(job)
    else:
        say(f"job {job['job_id']} has begun; follow it: {server.command('jobs ' + job['job_id'] + ' --follow')}")
    return Exit.OK


def _delete_one(task_id: str, call: Callable[[], Deleted], *, as_json: bool) -> Exit:
    failed: list[dict[str, Any]] = []
    deleted: list[Deleted] = []
    ending = Exit.OK
    try:
        deleted.append(call())
    except (ApiError, BadTaskId) as error:
        if isinstance(error, Unauthorized):
            raise
        failed.append({"task_id": task_id, "error_code": error.error_code, "error": in_words(error)})
        ending = status_of(error)
    if as_json:
        dump({"deleted_tasks": deleted, "failed_tasks": failed})
    else:
        for one in deleted:
            say(f"{task_id}: {outcome_in_words(one)}")
        for missed in failed:
            say_message(f"{task_id}: {missed['error']}", style="red")
    return ending


def outcome_in_words(outcome: Deleted) -> str:
    """What became of one task."""
    records = ", records deleted" if outcome["database_records_deleted"] else ""
    if not outcome["directory_deleted"]:
        return f"had no directory{records}"
    files, size = outcome["deleted_files_count"], outcome["deleted_bytes"]
    counted = None if files is None or size is None else f"{files} files, {format_size(size)}"
    until = outcome.get("retained_until")
    if until is not None:
        how_much = f" ({counted})" if counted else ""
        return f"moved to the trash{how_much}{records}; can be restored until {for_people(until)}, {UNLESS}"
    return f"deleted {counted or 'what had not been counted'}{records}"


def show_batch(batch: Batch) -> None:
    """Print what became of each task."""
    for outcome in batch["deleted_tasks"]:
        say(f"{outcome['task_id']}: {outcome_in_words(outcome)}")
    for missed in batch["failed_tasks"]:
        hint = f": {missed['hint']}" if "hint" in missed else ""
        say_message(f"{missed['task_id']}: {missed['error']}{hint}", style="red")
    for task_id in batch["not_attempted"]:
        say(f"{task_id}: not attempted", style="red")
    summary = batch["summary"]
    say(
        f"{summary['successfully_deleted']} of {summary['total_requested']} deleted, {summary['failed']} failed, "
        f"{summary['not_attempted']} not attempted; {format_size(summary['freed_bytes'])} of disk space freed",
        style="dim",
    )


def status_of_batch(batch: Batch) -> Exit:
    """The exit status: of the last failure, as for a local deletion."""
    if batch["failed_tasks"]:
        return status_of_code(batch["failed_tasks"][-1]["error_code"]) or Exit.NOT_DELETED
    return Exit.NOT_DELETED if batch["not_attempted"] else Exit.OK
