"""``GET …/tasks``: the list, newest first, by pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from daemon.catalog import tasks
from daemon.catalog.rows import TaskRow
from daemon.catalog.tasks import TaskPage
from daemon.web import answers, bodies
from daemon.web.context import ApiContext
from daemon.web.health import require_recovered
from daemon.web.work import Workers

_DEFAULT_LIMIT = 100
_MOST_LIMIT = 1000
_MOST_OFFSET = 2**63 - 1  # what the databases count with
_MOST_STATUS = 50  # characters


@dataclass(frozen=True, slots=True)
class Page:
    """What the query asks for."""

    limit: int
    offset: int
    status: str | None


class Listing:
    """The handler."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def tasks(self, request: web.Request) -> web.Response:
        """One page, at the top level (the document's place) and under ``data`` (the existing service's)."""
        require_recovered(self._context)
        wanted = parse({name: request.query.getall(name) for name in request.query})
        page = await self._workers.read(lambda: self._load(wanted))
        entries = [_entry(row) for row in page.tasks]
        data = {"tasks": entries, "total": page.total, "limit": wanted.limit, "offset": wanted.offset}
        return answers.success(request, "TASKS_LISTED", data=data, fields={"tasks": entries})

    def _load(self, wanted: Page) -> TaskPage:
        with self._context.catalog.read() as session:
            return tasks.page(
                session.connection, session.tables, limit=wanted.limit, offset=wanted.offset, status=wanted.status
            )


def parse(query: Mapping[str, Sequence[str]]) -> Page:
    """The page a query asks for. Raises ApiError (INVALID_PARAMETER); parameters it does not know are ignored."""
    limit = number(query, "limit", _DEFAULT_LIMIT, 1, _MOST_LIMIT)
    offset = number(query, "offset", 0, 0, _MOST_OFFSET)
    given = query.get("status")
    if given is None:
        return Page(limit, offset, None)
    if len(given) != 1 or not given[0].strip() or len(given[0]) > _MOST_STATUS or not given[0].isprintable():
        raise bodies.invalid("status", "MUST_BE_STATUS")
    return Page(limit, offset, given[0])


def number(query: Mapping[str, Sequence[str]], name: str, default: int, least: int, most: int) -> int:
    """The whole number that the query gives. Raises ApiError (INVALID_PARAMETER) for one outside the bounds."""
    given = query.get(name)
    if given is None:
        return default
    if len(given) == 1 and re.fullmatch("[0-9]{1,19}", given[0]) and least <= int(given[0]) <= most:
        return int(given[0])
    raise bodies.invalid(name, "MUST_BE_BETWEEN", least=least, most=most)


def _entry(row: TaskRow) -> dict[str, object]:
    return {
        "task_id": row.task_id,
        "task_name": row.task_name,
        "status": row.status,
        "directory_exists": row.directory_exists,
        "updated_at": _stamp(row.updated_at),
        "created_at": _stamp(row.created_at),
        "started_at": _stamp(row.started_at),
        "completed_at": _stamp(row.completed_at),
        "by_user": row.by_user,
        "db_name": row.db_name,
    }


def _stamp(value: datetime | None) -> str | None:
    return None if value is None else value.replace(tzinfo=None).isoformat(timespec="seconds")
