"""``sweepd tasks``: the list, as the API has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import typer

from daemon.app.services import Services
from daemon.catalog.task_list import Order, TaskFilter, TaskList
from daemon.cli.render import dump, say, table
from daemon.strict_yaml import suggestion


def show_tasks(services: Services, *, statuses: Sequence[str], limit: int, offset: int, as_json: bool) -> None:
    """Print one page, the newest first; timestamps are wall time of the pipeline's zone. Raises SweepdError.

    Raises typer.BadParameter for a status that ``catalog.statuses`` does not know.
    """
    known = services.config.catalog.statuses
    for status in statuses:
        if status not in known:
            message = f"unknown status {status!a}{suggestion(status, known)} known: {', '.join(known)}"
            raise typer.BadParameter(message, param_hint="--status")
    with services.catalog.read() as session:
        wanted = TaskFilter(statuses=tuple(statuses))
        listing = TaskList(session.tables, services.catalog.timeline, session.now, wanted, Order())
        page = listing.page(session.connection, limit=limit, offset=offset)
    if as_json:
        dump({"tasks": [asdict(row) for row in page.tasks], "total": page.total, "limit": limit, "offset": offset})
        return
    rows = [
        (
            row.task_id,
            row.status or "-",
            "present" if row.directory_exists else "deleted",
            _stamp(row.created_at),
            _stamp(row.completed_at),
            row.task_name or "-",
        )
        for row in page.tasks
    ]
    table(("task", "status", "directory", "created", "completed", "name"), rows)
    say(f"{len(rows)} of {page.total} tasks", style="dim")


def _stamp(value: datetime | None) -> str:
    return value.isoformat(sep=" ", timespec="seconds") if value else "-"
