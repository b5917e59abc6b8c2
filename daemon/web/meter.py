"""Measures the server itself: how requests are answered, and whether the event loop turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from daemon import clock
from daemon.metrics.server import ELSEWHERE, ServerMetrics
from daemon.web.operations import Operation

_LOOK_S: Final = 0.5
_STREAM: Final = "text/event-stream"
# What nginx notes of a client that went away before its answer.
_CLIENT_GONE: Final = 499


def make_meter(metrics: ServerMetrics, operations: Iterable[Operation]) -> Middleware:
    """The outermost middleware: counts every request under its operation's name."""
    names = {(operation.method, operation.public_path): operation.name for operation in operations}
    metrics.operations(names.values())

    @web.middleware
    async def meter(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, status, streams = clock.monotonic(), _CLIENT_GONE, False
        metrics.began()
        try:
            response = await handler(request)
            status, streams = response.status, response.content_type == _STREAM
            return response
        finally:
            resource = request.match_info.route.resource
            method = "GET" if request.method == "HEAD" else request.method
            name = names.get((method, resource.canonical if resource else ""), ELSEWHERE)
            metrics.answered(name, status, None if streams else clock.monotonic() - began)

    return meter


def loop_lag(metrics: ServerMetrics) -> Callable[[web.Application], AsyncIterator[None]]:
    """Looks every half second how late the event loop is, for as long as the application runs."""

    async def watch() -> None:
        while True:
            began = clock.monotonic()
            await asyncio.sleep(_LOOK_S)
            metrics.lagged(max(0.0, clock.monotonic() - began - _LOOK_S))

    async def running(_application: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(watch())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return running
