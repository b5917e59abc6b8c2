"""``/api/v0/openapi.json`` and ``/api/v0/docs``: the API described for machines and for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from daemon.web import page
from daemon.web.description import describe
from daemon.web.operations import Operation
from daemon.web.work import Workers


@dataclass(frozen=True, slots=True)
class _Made:
    document: bytes
    page: bytes


class Documentation:
    """The two handlers. Both answers are made at the first request, from ``operations`` as they are then."""

    def __init__(self, operations: Sequence[Operation], workers: Workers) -> None:
        self._operations = operations
        self._workers = workers
        self._made: _Made | None = None

    async def description(self, _request: web.Request) -> web.Response:
        """The OpenAPI 3.1 description of this API."""
        return web.Response(body=(await self._ready()).document, content_type="application/json")

    async def page(self, _request: web.Request) -> web.Response:
        """The same as a page for people, without scripts."""
        headers = {"Content-Security-Policy": page.SECURITY_POLICY}
        return web.Response(body=(await self._ready()).page, content_type="text/html", charset="utf-8", headers=headers)

    async def _ready(self) -> _Made:
        if self._made is None:
            self._made = await self._workers.read(self._make)
        return self._made

    def _make(self) -> _Made:
        document = describe(self._operations)
        return _Made(json.dumps(document, ensure_ascii=False).encode(), page.render(document).encode())
