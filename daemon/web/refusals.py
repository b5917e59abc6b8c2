"""The trail of refused requests, and ``GET /api/v0/refusals``.

A flood of them costs a bounded number of rows a minute, and nobody waits for them to be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Final

from aiohttp import web

from daemon import clock, log
from daemon.catalog import refusals
from daemon.catalog.catalog import Catalog
from daemon.catalog.refusals import Refusal
from daemon.errors import SweepdError
from daemon.metrics.registry import Metrics
from daemon.web import answers
from daemon.web.caller import CLIENT
from daemon.web.errors import ApiCode
from daemon.web.list_queries import RefusalsQuery
from daemon.web.queries import check_query
from daemon.web.work import Workers

_log = log.get(__name__)
AUDITED: Final = frozenset(
    {
        ApiCode.HOST_NOT_ALLOWED,
        ApiCode.ORIGIN_NOT_ALLOWED,
        ApiCode.UNAUTHORIZED,
        ApiCode.TOKEN_EXPIRED,
        ApiCode.INSUFFICIENT_SCOPE,
    }
)
_WRITE_EVERY_S: Final = 1.0
_GIVE_UP_S: Final = 5.0
# Of one minute; what comes from further addresses counts as from this one.
_MOST_KEYS: Final = 200
_OTHERS: Final = "others"
# While the database is away: some minutes of the worst flood.
_MOST_WAITING: Final = 1000
_PRUNE_EVERY: Final = 100
_PATH: Final = 200  # characters


class RefusalLog:
    """``add`` is for the event loop alone, and only touches memory; one thread writes."""

    def __init__(self, catalog: Catalog, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._waiting: dict[tuple[object, ...], Refusal] = {}
        self._keys: set[tuple[object, ...]] = set()
        self._minute = clock.now()
        self._failing = False
        self._writes = 0
        self._writing = asyncio.Lock()

    def add(self, request: web.Request, code: str, token: str | None) -> None:
        """Count a refusal of this request."""
        self._metrics.server.refused(code)
        now = clock.now()
        refusal = Refusal(
            minute=now.replace(second=0, microsecond=0),
            address=request[CLIENT][:64],
            error_code=code,
            token=token or "",
            first_at=now,
            last_at=now,
            method=ascii(request.method)[1:-1][:16],
            path=ascii(request.raw_path.partition("?")[0][:_PATH])[1:-1][:_PATH],
            request_id=request[answers.REQUEST_ID],
            count=1,
        )
        if refusal.minute != self._minute:
            self._minute, self._keys = refusal.minute, set()
        if refusal.key not in self._keys:
            if len(self._keys) >= _MOST_KEYS:
                refusal = replace(refusal, address=_OTHERS, token="")
            self._keys.add(refusal.key)
        self._put(refusal)

    async def write(self) -> None:
        """Write down what waits. A database that does not answer is no error here: it is tried again."""
        async with self._writing:
            if not self._waiting:
                return
            taken, self._waiting = list(self._waiting.values()), {}
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._write, taken)
            except SweepdError as error:
                for refusal in taken:  # counted twice if only the answer to COMMIT was lost: better than not at all
                    self._put(refusal)
                if not self._failing:
                    _log.warning("refusals_not_written", error=error.code, reason=str(error))
                self._failing = True
            else:
                self._failing = False

    async def running(self, _application: web.Application) -> AsyncIterator[None]:
        """Write every second while the server runs, and once more at its end."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refusals")
        task = asyncio.create_task(self._keep_writing())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(TimeoutError):
            await asyncio.wait_for(self._try(), _GIVE_UP_S)
        self._thread.shutdown(wait=False)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY_S)
            await self._try()

    async def _try(self) -> None:
        try:
            await self.write()
        except Exception:
            _log.exception("refusals_crashed")

    def _write(self, taken: Sequence[Refusal]) -> None:
        with self._catalog.write() as session:
            refusals.add(session.connection, taken)
            if self._writes % _PRUNE_EVERY == 0:
                refusals.forget_old(session.connection)
        self._writes += 1

    def _put(self, refusal: Refusal) -> None:
        known = self._waiting.get(refusal.key)
        if known is not None:
            older, newer = sorted((known, refusal), key=lambda one: one.last_at)
            first_at = min(known.first_at, refusal.first_at)
            refusal = replace(newer, first_at=first_at, count=older.count + newer.count)
        elif len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting[refusal.key] = refusal


class Refusals:
    """The handler."""

    def __init__(self, catalog: Catalog, trail: RefusalLog, workers: Workers) -> None:
        self._catalog = catalog
        self._trail = trail
        self._workers = workers

    async def listed(self, request: web.Request) -> web.Response:
        """The last ones, the newest first."""
        limit = check_query(RefusalsQuery, request.query).limit
        await self._trail.write()
        found = await self._workers.read(lambda: self._load(limit))
        return answers.success(request, "REFUSALS_LISTED", data={"refusals": [_entry(one) for one in found]})

    def _load(self, limit: int) -> list[Refusal]:
        with self._catalog.read() as session:
            return refusals.newest(session.connection, limit)


def _entry(refusal: Refusal) -> dict[str, object]:
    return {
        "first_at": refusal.first_at.isoformat(timespec="seconds"),
        "last_at": refusal.last_at.isoformat(timespec="seconds"),
        "count": refusal.count,
        "error_code": refusal.error_code,
        "address": refusal.address,
        "token": refusal.token or None,
        "method": refusal.method,
        "path": refusal.path,
        "request_id": refusal.request_id,
    }
