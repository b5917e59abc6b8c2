"""Who may ask: known host names only, no web pages, and a bearer token with the right scope where tokens are set."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from daemon.config import ServerConfig
from daemon.web.caller import CALLER, EVERYTHING, Caller, Scope
from daemon.web.errors import ApiCode, ApiError
from daemon.web.hosts import HostRule
from daemon.web.operations import Operation

_NOTHING = object()
_OWN_SITE = frozenset({"same-origin", "none"})


def make_guard(server: ServerConfig, operations: Iterable[Operation]) -> Middleware:
    """The middleware for this configuration. What is at no address of ``operations`` needs a token, but no scope."""
    scopes = {(operation.method, operation.public_path): operation.scope for operation in operations}
    hosts = HostRule(server.host, server.allowed_hosts)
    tokens = [token.get_secret_value().encode() for token in server.tokens]

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not hosts.allows(request.headers.getall("Host", ()), request.raw_path):
            raise ApiError(ApiCode.HOST_NOT_ALLOWED)
        if not _not_from_a_page(request):
            raise ApiError(ApiCode.ORIGIN_NOT_ALLOWED)
        if "#" in request.raw_path:  # aiohttp cuts it off: `task_1#2` would be task_1
            raise ApiError(ApiCode.BAD_REQUEST)
        scope = scopes.get(_address(request), _NOTHING)
        if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
            scope = None  # which methods an address takes is no secret: the description says it
        if tokens and scope is not None and not _knows_token(request, tokens):
            raise ApiError(ApiCode.UNAUTHORIZED)
        request[CALLER] = caller = Caller(None, request.remote or "unknown", EVERYTHING)
        if isinstance(scope, Scope):
            caller.require(scope)
        return await handler(request)

    return guard


def _not_from_a_page(request: web.Request) -> bool:
    sites = request.headers.getall("Sec-Fetch-Site", ())
    return "Origin" not in request.headers and all(site.strip().lower() in _OWN_SITE for site in sites)


def _address(request: web.Request) -> tuple[str, str]:
    # By the route that was found, not by the path: there are many spellings of a path.
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return method, "" if resource is None else resource.canonical


def _knows_token(request: web.Request, tokens: list[bytes]) -> bool:
    given = request.headers.getall("Authorization", ())
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    offered = token.strip().encode("utf-8", "surrogateescape")
    known = False
    for expected in tokens:  # all of them, whichever fits: the time taken tells nothing
        known |= hmac.compare_digest(offered, expected)
    return known and scheme.lower() == "bearer"
