"""``sweepd --server URL tasks``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from daemon.cli.remote.server import Server
from daemon.cli.render import dump, say, table


def show_tasks(server: Server, *, statuses: Sequence[str], limit: int, offset: int, as_json: bool) -> None:
    """Print them, the newest first. The contract has wall time of the pipeline's zone, which only the daemon knows."""
    with server.client() as client:
        found = client.tasks(status=statuses or None, page_size=min(1000, offset + limit))
        tasks = list(islice(found, offset, offset + limit))
    if as_json:
        dump({"tasks": tasks, "limit": limit, "offset": offset})
        return
    rows = [
        (
            task["task_id"],
            task["status"] or "-",
            "present" if task["directory_exists"] else "deleted",
            _stamp(task["created_at"]),
            _stamp(task["completed_at"]),
            task["task_name"] or "-",
        )
        for task in tasks
    ]
    table(("task", "status", "directory", "created (pipeline's zone)", "completed (pipeline's zone)", "name"), rows)
    say(f"{len(rows)} tasks", style="dim")


def _stamp(value: str | None) -> str:
    return value.replace("T", " ") if value else "-"
