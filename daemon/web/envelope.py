"""The outermost middleware: a request id for everything that happens, and one shape for everything that fails."""

from __future__ import annotations

import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from daemon import log
from daemon.errors import SweepdError
from daemon.web import answers
from daemon.web.caller import CLIENT
from daemon.web.errors import ApiCode, ApiError, explain

_log = log.get(__name__)
_BY_STATUS = {
    404: ApiCode.ROUTE_NOT_FOUND,
    405: ApiCode.METHOD_NOT_ALLOWED,
    413: ApiCode.BODY_TOO_LARGE,
    417: ApiCode.EXPECTATION_FAILED,
}


@web.middleware
async def envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bind the request id and turn every exception into an answer."""
    request[answers.REQUEST_ID] = request_id = uuid.uuid4().hex
    with log.bound(request_id=request_id):
        try:
            return await handler(request)
        except web.HTTPException as error:
            problem = from_aiohttp(error)
            _report(request, error, problem)
            return answers.failure(request, problem)
        except Exception as error:
            problem = explain(error, request.match_info.get("task_id"))
            _report(request, error, problem)
            return answers.failure(request, problem)


def from_aiohttp(error: web.HTTPException) -> ApiError:
    """What aiohttp itself refuses: unknown addresses and methods, mostly."""
    allow = error.headers.get("Allow")
    return ApiError(_BY_STATUS.get(error.status, ApiCode.BAD_REQUEST), headers={"Allow": allow} if allow else None)


def _report(request: web.Request, error: Exception, problem: ApiError) -> None:
    where = {
        "method": request.method,
        "path": ascii(request.raw_path[:200])[1:-1],
        "peer": request.get(CLIENT) or request.remote,
    }
    if problem.code is ApiCode.INTERNAL_ERROR:
        _log.error("request_crashed", exc_info=error, **where)
    elif problem.status >= 500:
        reason = str(error) if isinstance(error, SweepdError) else None
        _log.warning("request_failed", error=problem.code, reason=reason, **where)
    elif problem.status in (401, 403):
        _log.warning("request_refused", error=problem.code, **where)
    else:  # the client has been given the request id: whoever is asked about it finds it
        _log.info("request_refused", error=problem.code, **where)
