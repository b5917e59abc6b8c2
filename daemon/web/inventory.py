"""``GET /api/v0/inventory``: how much lies in the storage root, and where rows and directories differ."""

from __future__ import annotations

from aiohttp import web

from daemon.catalog.scans import Drift
from daemon.inventory.overview import drift_list, overview
from daemon.web import answers, bodies
from daemon.web.context import ApiContext
from daemon.web.listing import MOST_LIMIT, number
from daemon.web.work import Workers

_LARGEST = 10


class Inventory:
    """The handler. It reads what the scans have found, and never the storage root."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._catalog = context.catalog
        self._workers = workers

    async def show(self, request: web.Request) -> web.Response:
        """The totals, or with ``?drift=`` one kind of drift."""
        query = {name: request.query.getall(name) for name in request.query}
        limit = number(query, "limit", _LARGEST, 0, MOST_LIMIT)
        given = query.get("drift")
        if given is None:
            data = (await self._workers.read(lambda: overview(self._catalog, limit))).to_json()
        else:
            if len(given) != 1 or given[0] not in list(Drift):
                raise bodies.invalid("drift", "MUST_BE_DRIFT")
            kind = Drift(given[0])
            data = (await self._workers.read(lambda: drift_list(self._catalog, kind, limit))).to_json()
        return answers.success(request, "INVENTORY_LISTED", data=data)
