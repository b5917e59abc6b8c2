"""``sweepd --server URL jobs``."""

from __future__ import annotations

from itertools import islice

from daemon.cli.exits import Exit
from daemon.cli.remote import following
from daemon.cli.remote.deleting import show_batch, status_of_batch
from daemon.cli.remote.server import Server
from daemon.cli.render import dump, say, table
from daemon.client.answers import Job
from daemon.moments import for_people


def show_jobs(server: Server, *, state: str | None, limit: int, as_json: bool) -> None:
    """Print the jobs, the newest first."""
    with server.client() as client:
        found = list(islice(client.jobs(state=state, page_size=min(100, limit)), limit))
    if as_json:
        dump({"jobs": found})
        return
    rows = [
        (
            job["job_id"],
            job["state"],
            f"{job['progress']['tasks_done']} of {job['progress']['tasks_total']}",
            str(job["progress"]["failed"]),
            for_people(job["created_at"]),
            for_people(job["finished_at"]),
            job["initiator"],
        )
        for job in found
    ]
    numbers = frozenset({"tasks", "failed"})
    table(("job", "state", "tasks", "failed", "created", "finished", "by"), rows, right=numbers)
    say(f"{len(rows)} jobs", style="dim")


def show_job(server: Server, job_id: str, *, follow: bool, cancel: bool, as_json: bool) -> Exit:
    """Print one job; follow it to its end, or cancel what has not begun."""
    with server.client() as client:
        job = client.cancel(job_id) if cancel else client.job(job_id)
        if follow:
            return following.follow(server, client, job, as_json=as_json)
    if as_json:
        dump(job)
    else:
        _show(job)
    result = job.get("result")
    return Exit.OK if result is None or cancel else status_of_batch(result)


def _show(job: Job) -> None:
    progress, result = job["progress"], job.get("result")
    say(f"job {job['job_id']} ({job['kind']}) of {job['initiator']}: {job['state']}", style="bold")
    say(f"{progress['tasks_done']} of {progress['tasks_total']} tasks done, {progress['failed']} failed")
    if result is not None:
        show_batch(result)
