"""``sweepd tasks``: the list, as the API has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, tzinfo
from typing import Any

import typer

from daemon.app.services import Services
from daemon.catalog.instants import later
from daemon.catalog.rows import TaskRow
from daemon.catalog.task_list import Order, TaskFilter, TaskList
from daemon.cli.render import dump, say, table
from daemon.moments import for_machines, for_people
from daemon.strict_yaml import suggestion


def show_tasks(services: Services, *, statuses: Sequence[str], limit: int, offset: int, as_json: bool) -> None:
    """Print one page, the newest first. Raises SweepdError.

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
        zone = session.zone
        page = listing.page(session.connection, limit=limit, offset=offset)
    if as_json:
        dump({"tasks": [_json(row, zone) for row in page.tasks], "total": page.total, "limit": limit, "offset": offset})
        return
    rows = [
        (
            row.task_id,
            row.status or "-",
            "present" if row.directory_exists else "deleted",
            for_people(_instant(row.created_at, zone)),
            for_people(_instant(row.completed_at, zone)),
            row.task_name or "-",
        )
        for row in page.tasks
    ]
    table(("task", "status", "directory", "created", "completed", "name"), rows)
    how = "; --limit N and --offset N show the others" if page.total is None or len(rows) < page.total else ""
    say(f"{len(rows)} of {page.total} tasks{how}", style="dim")


def _instant(value: datetime | None, zone: tzinfo) -> datetime | None:
    """The moment of a row's wall time; as it stands, in UTC, at the calendar's ends."""
    if value is None or value.tzinfo is not None:
        return value
    try:
        return later(value, zone)
    except OverflowError:
        return value.replace(tzinfo=UTC)


def _json(row: TaskRow, zone: tzinfo) -> dict[str, Any]:
    moments = {name: _instant(value, zone) for name, value in asdict(row).items() if isinstance(value, datetime)}
    return asdict(row) | {name: for_machines(moment) for name, moment in moments.items() if moment is not None}
