"""A runner whose answers have the API's shape even where aiohttp answers for itself."""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from daemon import log
from daemon.web import answers
from daemon.web.envelope import from_aiohttp
from daemon.web.errors import ApiCode, ApiError

_log = log.get(__name__)


class ApiRunner(web.AppRunner):
    """``web.AppRunner`` for ``make_application``: use it the same way."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _ApiServer(
            _enveloped(made.request_handler),
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )


class _ApiServer(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    """Answers what is not HTTP, which no middleware ever sees, without echoing it."""

    __slots__ = ()

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
