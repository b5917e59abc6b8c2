"""``/api/v0/sweeps``: what sweeps did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from daemon.catalog import sweeps
from daemon.errors import ErrorCode, SweepdError
from daemon.sweep.documents import record_document
from daemon.web import answers
from daemon.web.context import ApiContext
from daemon.web.queries import SweepsQuery, check_query
from daemon.web.work import Workers


class Sweeps:
    """The two handlers."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def listed(self, request: web.Request) -> web.Response:
        """The last sweeps, the newest first, without their reports; ``?policy=`` those of one."""
        query = check_query(SweepsQuery, request.query)
        entries = await self._workers.read(lambda: self._recent(query.policy, query.limit))
        return answers.success(request, "SWEEPS_LISTED", data={"sweeps": entries})

    async def one(self, request: web.Request) -> web.Response:
        """One sweep, with its report."""
        sweep_id = request.match_info["sweep_id"]
        return answers.success(request, "SWEEP_SHOWN", data=await self._workers.read(lambda: self._find(sweep_id)))

    def _recent(self, policy: str | None, limit: int) -> list[dict[str, Any]]:
        with self._context.catalog.read() as session:
            records = sweeps.recent(session.connection, policy, limit)
        return [{n: v for n, v in record_document(record).items() if n != "report"} for record in records]

    def _find(self, sweep_id: str) -> Mapping[str, Any]:
        with self._context.catalog.read() as session:
            record = sweeps.find(session.connection, sweep_id)
        if record is None:
            raise SweepdError("there is no such sweep", code=ErrorCode.SWEEP_NOT_FOUND)
        return record_document(record)
