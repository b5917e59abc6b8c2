"""A job on the terminal, to its end."""

from __future__ import annotations

import sys

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from daemon.cli.exits import Exit
from daemon.cli.remote.server import Server
from daemon.cli.render import console, dump, say
from daemon.cli.streams import complain
from daemon.client import Client
from daemon.client.answers import Job
from daemon.client.jobs import ENDED
from daemon.sizes import format_size


def follow(server: Server, client: Client, job: Job, *, as_json: bool) -> Exit:
    """Show its progress to its end, then its result. Ctrl-C leaves it running and says how to come back."""
    from daemon.cli.remote.deleting import show_batch, status_of_batch

    job_id = job["job_id"]
    try:
        if not as_json:
            say(f"job {job_id}: {job['progress']['tasks_total']} task(s)", style="dim")
            sys.stdout.flush()  # whoever reads a pipe wants to know its id now
        if job["state"] not in ENDED:
            _watch(client, job, shown=not as_json)
        ended = client.job(job_id)
    except KeyboardInterrupt:
        again, cancel = server.command(f"jobs {job_id} --follow"), server.command(f"jobs {job_id} --cancel")
        complain(f"sweepd: job {job_id} goes on. Follow it: {again}. Cancel the rest: {cancel}")
        return Exit.INTERRUPTED
    result = ended.get("result")
    if as_json:
        dump(ended)
    elif result is not None:
        show_batch(result)
    if ended["state"] == "cancelled" and not as_json:
        say(f"job {job_id} was cancelled", style="red")
    return Exit.OK if result is None else status_of_batch(result)


def _watch(client: Client, job: Job, *, shown: bool) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[how]}"))
    hidden = not shown or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        line = bar.add_task("deleting", total=job["progress"]["tasks_total"], how="")
        for event in client.events(job["job_id"]):
            if event.kind == "progress":
                data = event.data
                bar.update(line, total=data["tasks_total"], completed=data["tasks_done"], how=_how(data))


def _how(progress: dict[str, object]) -> str:
    """Files, bytes, rate and what remains, as far as they are known."""
    total = progress.get("files_total")
    parts = [f"{progress.get('files_done', 0)}{'' if total is None else f' of {total}'} files"]
    done = progress.get("bytes_done")
    if isinstance(done, int):
        parts.append(format_size(done))
    rate, remaining = progress.get("files_per_second"), progress.get("remaining_seconds")
    if isinstance(rate, int | float) and rate > 0:
        parts.append(f"{rate:.0f}/s")
    if isinstance(remaining, int | float):
        parts.append(f"{remaining:.0f} s left")
    failed = progress.get("failed")
    return ", ".join(parts + ([f"{failed} failed"] if failed else []))
