"""``GET /api/v0/deletions``: the audit trail, by pages or whole as a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from typing import Final

from aiohttp import web

from daemon import clock, log
from daemon.catalog.audit import AuditFilter, Mark, mark
from daemon.catalog.instants import parse_instant
from daemon.catalog.ledger import Record
from daemon.deletion import audit_trail
from daemon.errors import SweepdError
from daemon.web import answers, bodies, cursors
from daemon.web.context import ApiContext
from daemon.web.list_queries import DeletionsQuery
from daemon.web.queries import check_query
from daemon.web.work import Workers

_log = log.get(__name__)

_DEFAULT_LIMIT: Final = 100
_TYPES: Final = {"json": "application/json", "csv": "text/csv", "ndjson": "application/x-ndjson"}
_HEADERS: Final = {"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson; charset=utf-8"}


class Audit:
    """The handler."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._catalog = context.catalog
        self._workers = workers

    async def listed(self, request: web.Request) -> web.StreamResponse:
        """One page, the newest first; or all, as CSV or as lines of JSON, if ``Accept`` or ``?format=`` say so."""
        query = check_query(DeletionsQuery, request.query)
        kind = query.format or _accepted(request.headers.get("Accept", ""))
        wanted = await self._workers.read(lambda: self._wanted(query))
        if kind != "json":
            for name in ("limit", "cursor"):
                if getattr(query, name) is not None:
                    raise bodies.invalid(name, "MUST_BE_ALONE", other=kind)
            return await self._export(request, wanted, kind)
        limit, after = query.limit or _DEFAULT_LIMIT, _after(query)
        # one more than is shown: it says whether there is a next page
        found = await self._workers.read(lambda: self._page(wanted, limit + 1, after))
        shown = found[:limit]
        data = {
            "deletions": [audit_trail.document(record) for record in shown],
            "limit": limit,
            "next_cursor": _cursor(shown[-1]) if len(found) > limit else None,
        }
        return answers.success(request, "DELETIONS_LISTED", data=data)

    async def _export(self, request: web.Request, wanted: AuditFilter, kind: str) -> web.StreamResponse:
        """Page by page: nothing is kept, and no transaction waits for a slow client."""
        found = await self._workers.read(lambda: self._page(wanted, audit_trail.PAGE, None))
        name = f"sweepd-deletions-{clock.now():%Y%m%dT%H%M%SZ}.{kind}"
        response = web.StreamResponse(
            headers={"Content-Type": _HEADERS[kind], "Content-Disposition": f'attachment; filename="{name}"'}
        )
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            first = True
            while found or first:
                await response.write(_lines(found, kind, first=first))
                first = False
                if len(found) < audit_trail.PAGE:
                    break
                after = mark(found[-1])
                found = await self._workers.read(lambda after=after: self._page(wanted, audit_trail.PAGE, after))  # type: ignore[misc]
        except Exception as error:
            if isinstance(error, ConnectionError):
                raise
            # the head of the answer is out: only a connection that breaks tells that something is missing
            reason = str(error) if isinstance(error, SweepdError) else type(error).__name__
            _log.error("export_cut_off", reason=reason, exc_info=not isinstance(error, SweepdError))
            if request.transport is not None:
                request.transport.abort()
        return response

    def _page(self, wanted: AuditFilter, limit: int, after: Mark | None) -> Sequence[Record]:
        return audit_trail.page(self._catalog, wanted, limit=limit, after=after)

    def _wanted(self, query: DeletionsQuery) -> AuditFilter:
        with self._catalog.read() as session:
            zone = session.zone
        since, until = (None if text is None else parse_instant(text, zone) for text in (query.since, query.until))
        return AuditFilter(
            task_id=query.task_id,
            policy=query.policy,
            sweep_id=query.sweep_id,
            initiator=query.initiator,
            trigger=query.trigger,
            state=query.state,
            since=since,
            until=until,
        )


def _lines(records: Sequence[Record], kind: str, *, first: bool) -> bytes:
    text = audit_trail.csv_lines(records, header=first) if kind == "csv" else audit_trail.json_lines(records)
    return text.encode("utf-8")


def _cursor(record: Record) -> str:
    place = mark(record)
    return cursors.encode([place.committed_at.isoformat(), place.deletion_id])


def _after(query: DeletionsQuery) -> Mark | None:
    if query.cursor is None:
        return None
    with suppress(ValueError):
        stamp, deletion_id = cursors.decode(query.cursor)
        if isinstance(stamp, str) and isinstance(deletion_id, str):
            return Mark(parse_instant(stamp, UTC), deletion_id)
    raise bodies.invalid("cursor", "MUST_BE_CURSOR")


def _accepted(header: str) -> str:
    """Which of the forms a client likes best; JSON unless it says otherwise."""
    best, weight = "json", 0.0
    for part in header.split(","):
        name, *parameters = (text.strip().lower() for text in part.split(";"))
        given = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            liked = float(given)
        except ValueError:
            continue
        kind = next((kind for kind, media in _TYPES.items() if media == name), None)
        if kind is not None and liked > weight:
            best, weight = kind, liked
    return best
