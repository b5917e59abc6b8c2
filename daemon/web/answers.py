"""Answers: one JSON envelope, one set of headers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

from aiohttp import web

from daemon.web.errors import ApiError
from daemon.web.messages import Language, preferred, text

REQUEST_ID = web.RequestKey("request_id", str)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
    "Server": "sweepd",  # aiohttp would tell its version and Python's
    "X-Content-Type-Options": "nosniff",
}


def language(request: web.BaseRequest) -> Language:
    """The language the client wants its messages in."""
    return preferred(request.headers.get("Accept-Language", ""))


def success(
    request: web.Request,
    message: str,
    *,
    data: Mapping[str, object],
    fields: Mapping[str, object] | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """``status`` with ``data``, and ``fields`` beside it; ``message`` is the message's key."""
    said = text(message, language(request))
    body = {"success": True, "code": status, "message": said, **(fields or {}), "data": data}
    return _respond(request, status, body, headers or {})


def failure(request: web.BaseRequest, error: ApiError) -> web.Response:
    """The answer to an error, in the client's language."""
    if REQUEST_ID not in request:  # refused before any middleware
        request[REQUEST_ID] = uuid.uuid4().hex
    body: dict[str, object] = {
        "success": False,
        "code": error.status,
        "message": error.message(language(request)),
        "error_code": error.code,
        "hint": error.hint(language(request)),
        "request_id": request[REQUEST_ID],
        **error.fields,
    }
    if error.data:
        body["data"] = error.data
    return _respond(request, error.status, body, error.headers)


def complete(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Give any answer, whoever made it, the headers that all have."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("X-Request-Id", request.get(REQUEST_ID) or uuid.uuid4().hex)


async def complete_prepared(request: web.Request, response: web.StreamResponse) -> None:
    """``complete`` as a signal, sent before the headers are."""
    complete(request, response)


def _respond(
    request: web.BaseRequest, status: int, body: Mapping[str, object], headers: Mapping[str, str]
) -> web.Response:
    response = web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False).encode("utf-8"),
        content_type="application/json",
        charset="utf-8",
        headers={**headers, "Content-Language": language(request)},
    )
    complete(request, response)
    return response
