"""A runner that is patient with no client for ever, and whose answers always have the API's shape."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from daemon import log
from daemon.web import answers
from daemon.web.connections import Connections, Limits, group_of
from daemon.web.envelope import from_aiohttp
from daemon.web.errors import ApiCode, ApiError

_log = log.get(__name__)


class ApiRunner(web.AppRunner):
    """``web.AppRunner`` for ``make_application``: use it the same way."""

    __slots__ = ("_open",)

    def __init__(self, application: web.Application, *, connections: Connections | None = None, **options: Any) -> None:
        super().__init__(application, **options)
        self._open = connections or Connections(Limits())

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = _ApiServer(
            _enveloped(made.request_handler),
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        server.open = self._open
        return server


class _ApiServer(web.Server):
    open: Connections

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    """Bounds the time that its client takes. Answers what is not HTTP, which no middleware ever sees."""

    __slots__ = ("_channel", "_head_number", "_head_timer", "_open", "_write_timer", "group", "since")

    def __init__(self, manager: _ApiServer, **options: Any) -> None:
        super().__init__(manager, **options)
        self._open = manager.open
        self._channel: asyncio.Transport | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_number = 0
        self._write_timer: asyncio.TimerHandle | None = None
        self.group = ""
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._channel = self.transport
        self.group = group_of(transport.get_extra_info("peername"))
        self._expect_head()
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self.since = self._loop.time()
        # the beginning of a further request on the same connection
        if data and self._head_number != self._request_count and self._between_requests():
            self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self._loop.call_later(self._open.limits.write_s, self.abort, "slow_reader")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.discard(self)
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._channel = None
        super().connection_lost(exc)

    def waits_for_client(self) -> bool:
        """For the rest of a request, for the next one, or until it takes its answer."""
        if self._paused or self._channel is None or self._channel.is_closing():
            return True
        if not self._request_in_progress:
            return not self._messages
        # Its answer has not begun, and nothing is deleted before its body is whole.
        return self._current_request is not None and not self._current_request.content.is_eof()

    def abort(self, reason: str) -> None:
        """Close it without sending what is left."""
        self._open.closed(reason)
        if self._channel is not None:
            self._channel.abort()  # and connection_lost() does the rest, as if the client had gone

    def _between_requests(self) -> bool:
        return not self._request_in_progress and not self._messages and not self._force_close

    def _expect_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self.since = self._loop.time()
        self._head_number = self._request_count
        self._head_timer = self._loop.call_later(self._open.limits.head_s, self._head_is_due)

    def _head_is_due(self) -> None:
        if self._head_number == self._request_count and self._between_requests():
            self.abort("slow_head")

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        request[answers.REQUEST_ID] = request_id = uuid.uuid4().hex
        malformed = isinstance(exc, HttpProcessingError) or status == 400
        if malformed:
            # Not the message: it quotes what was sent, and that may be a token.
            _log.warning("request_malformed", request_id=request_id, peer=request.remote, reason=type(exc).__name__)
        else:
            _log.error("request_crashed", request_id=request_id, peer=request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already; the connection is closed")
        response = answers.failure(request, ApiError(ApiCode.BAD_REQUEST if malformed else ApiCode.INTERNAL_ERROR))
        response.force_close()
        return response


def _enveloped(handler: Any) -> Any:
    """``handler``, with what aiohttp raises before the middlewares (an unknown Expect header) answered alike."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            problem = from_aiohttp(error)
            response = answers.failure(request, problem)
            request_id = request[answers.REQUEST_ID]
            _log.info("request_refused", error=problem.code, request_id=request_id, peer=request.remote)
            return response
        return answer

    return handle
