"""``GET /api/v0/inventory``: how much lies in the storage root, and where rows and directories differ."""

from __future__ import annotations

from aiohttp import web

from daemon.inventory.overview import drift_list, overview
from daemon.web import answers
from daemon.web.context import ApiContext
from daemon.web.queries import InventoryQuery, check_query
from daemon.web.work import Workers


class Inventory:
    """The handler. It reads what the scans have found, and never the storage root."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._catalog = context.catalog
        self._workers = workers

    async def show(self, request: web.Request) -> web.Response:
        """The totals, or with ``?drift=`` one kind of drift."""
        query = check_query(InventoryQuery, request.query)
        kind = query.drift
        if kind is None:
            data = (await self._workers.read(lambda: overview(self._catalog, query.limit))).to_json()
        else:
            data = (await self._workers.read(lambda: drift_list(self._catalog, kind, query.limit))).to_json()
        return answers.success(request, "INVENTORY_LISTED", data=data)
