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
_ID_BYTES = 136  # the longest task id, its quotes, a comma, and a line of its own


def batch_bytes(max_batch: int) -> int:
    """What a body may have that names so many tasks, whatever their ids."""
    return max(MAX_BODY, max_batch * _ID_BYTES + 64 * 1024)


async def read_json(request: web.Request, *, optional: bool = False, most: int = MAX_BODY) -> dict[str, Any]:
    """The body, of ``most`` bytes; an empty one is an empty object, if ``optional`` whatever type it claims to have.

    Raises ApiError: a query, another media type, too large, too slow, not a JSON object.
    """
    if request.query_string:  # `?dry_run=true` must not delete either
        raise bodies.unknown(list(request.query) or [request.query_string])
    if optional and not request.body_exists:
        return {}
    types = request.headers.getall("Content-Type", ())
    media_types = [value.partition(";")[0].strip().lower() for value in types]
    bodiless = not types and not request.body_exists
    if (media_types != ["application/json"] and not bodiless) or "Content-Encoding" in request.headers:
        raise ApiError(ApiCode.UNSUPPORTED_MEDIA_TYPE)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return bodies.decode(await request.clone(client_max_size=most).read())
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(ApiCode.BODY_TOO_LARGE, values={"limit": most}) from None
    except TimeoutError:
        raise ApiError(ApiCode.BODY_TIMEOUT, headers={"Connection": "close"}) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise ApiError(ApiCode.BAD_REQUEST) from None  # cut off, or broken chunks
