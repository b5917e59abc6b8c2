"""Reading a request's body: JSON only, of a bounded size, in a bounded time."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from daemon.web import bodies
from daemon.web.errors import ApiCode, ApiError

MAX_BODY = 1024 * 1024  # bytes
BODY_TIMEOUT_S = 10.0


async def read_json(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """The body; an empty one is an empty object, if ``optional`` whatever type it claims to have.

    Raises ApiError: a query, another media type, too large, too slow, not a JSON object.
    """
    if request.query_string:  # `?dry_run=true` must not delete either
        names = [bodies.shown(name) for name in request.query] or [bodies.shown(request.query_string)]
        raise ApiError(
            ApiCode.UNKNOWN_PARAMETER, values={"parameters": ", ".join(names)}, fields={"unknown_params": names}
        )
    if optional and not request.body_exists:
        return {}
    types = request.headers.getall("Content-Type", ())
    media_types = [value.partition(";")[0].strip().lower() for value in types]
    bodiless = not types and not request.body_exists
    if (media_types != ["application/json"] and not bodiless) or "Content-Encoding" in request.headers:
        raise ApiError(ApiCode.UNSUPPORTED_MEDIA_TYPE)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return bodies.decode(await request.read())
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(ApiCode.BODY_TOO_LARGE, values={"limit": MAX_BODY}) from None
    except TimeoutError:
        raise ApiError(ApiCode.BODY_TIMEOUT, headers={"Connection": "close"}) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise ApiError(ApiCode.BAD_REQUEST) from None  # cut off, or broken chunks
