"""``GET …/tasks``: the list, by pages."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from daemon.catalog import holds, inventory
from daemon.catalog.catalog import Session
from daemon.catalog.inventory import Counted
from daemon.catalog.rows import TaskRow
from daemon.catalog.task_list import NotAPlace, Place, TaskList, TaskPage
from daemon.web import answers, bodies, cursors
from daemon.web.context import ApiContext
from daemon.web.health import require_started
from daemon.web.list_queries import TasksQuery
from daemon.web.queries import check_query
from daemon.web.work import Workers

Entry = dict[str, object]


class Listing:
    """The handler."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def tasks(self, request: web.Request) -> web.Response:
        """One page, at the top level (the document's place) and under ``data`` (the existing service's)."""
        require_started(self._context)
        query = check_query(TasksQuery, request.query)
        known = self._context.catalog.statuses
        if known and any(status not in known for status in query.status):
            raise bodies.invalid("status", "MUST_BE_ONE_OF", words=", ".join(known))
        after = _after(query)
        page, listed = await self._workers.read(lambda: self._load(query, after))
        data = {
            "tasks": listed,
            "total": page.total,
            "limit": query.limit,
            "offset": query.offset,
            "next_cursor": None if page.end is None else cursors.encode([query.sort, page.end.key, page.end.task_id]),
        }
        return answers.success(request, "TASKS_LISTED", data=data, fields={"tasks": listed})

    def _load(self, query: TasksQuery, after: Place | None) -> tuple[TaskPage, list[Entry]]:
        counted = after is None if query.total is None else query.total
        catalog = self._context.catalog
        with catalog.read() as session:
            listing = TaskList(session.tables, catalog.timeline, session.now, query.filter, query.order)
            try:
                page = listing.page(
                    session.connection, limit=query.limit, offset=query.offset, after=after, counted=counted
                )
            except NotAPlace:
                raise bodies.invalid("cursor", "MUST_BE_CURSOR") from None
            return page, entries(session, page.tasks)


def _after(query: TasksQuery) -> Place | None:
    """Where the page begins. Raises ApiError."""
    if query.cursor is None:
        return None
    if query.offset:
        raise bodies.invalid("offset", "MUST_BE_ALONE", other="cursor")
    try:
        sort, key, task_id = cursors.decode(query.cursor)
    except ValueError:
        raise bodies.invalid("cursor", "MUST_BE_CURSOR") from None
    if sort != query.sort or not isinstance(task_id, str):
        raise bodies.invalid("cursor", "MUST_BE_CURSOR")
    return Place(key, task_id)


def entries(session: Session, tasks: tuple[TaskRow, ...]) -> list[Entry]:
    """These tasks as the list has them, with what the last scan counted, and whether a hold is on them."""
    ids = [row.task_id for row in tasks]
    counted = inventory.measured(session.connection, ids)
    found = holds.active(session.connection, session.now.utc, about=ids) if ids else []
    return [_entry(row, counted.get(row.task_id), held=holds.holding(found, row.task_id) is not None) for row in tasks]


def _entry(row: TaskRow, counted: Counted | None, *, held: bool) -> Entry:
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
        "files": counted.files if counted else None,
        "size_bytes": counted.size_bytes if counted else None,
        "held": held,
    }


def _stamp(value: datetime | None) -> str | None:
    return None if value is None else value.replace(tzinfo=None).isoformat(timespec="seconds")
