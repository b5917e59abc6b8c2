"""``GET /api/v0/storage``: who uses how much, and what the trash holds."""

from __future__ import annotations

from aiohttp import web

from daemon.inventory.storage_usage import storage_usage
from daemon.web import answers
from daemon.web.context import ApiContext
from daemon.web.work import Workers


class Storage:
    """The handler. It reads what the scans have found, and walks nothing."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._catalog = context.catalog
        self._root = context.root
        self._workers = workers

    async def show(self, request: web.Request) -> web.Response:
        """Usage by user, database, status and age; trash, drift, file system."""
        data = await self._workers.read(lambda: storage_usage(self._catalog, self._root))
        return answers.success(request, "STORAGE_SHOWN", data=data)
