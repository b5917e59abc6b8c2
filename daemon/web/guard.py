"""Who may ask: known host names only, no web pages, and a bearer token where tokens are set."""

from __future__ import annotations

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from daemon.config import ServerConfig
from daemon.web.errors import ApiCode, ApiError
from daemon.web.hosts import HostRule

_OPEN = frozenset({"/livez", "/readyz"})
_OWN_SITE = frozenset({"same-origin", "none"})


def make_guard(server: ServerConfig) -> Middleware:
    """The middleware for this configuration."""
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
        if tokens and not _is_open(request) and not _knows_token(request, tokens):
            raise ApiError(ApiCode.UNAUTHORIZED)
        return await handler(request)

    return guard


def _not_from_a_page(request: web.Request) -> bool:
    sites = request.headers.getall("Sec-Fetch-Site", ())
    return "Origin" not in request.headers and all(site.strip().lower() in _OWN_SITE for site in sites)


def _is_open(request: web.Request) -> bool:
    # By the route that was found, not by the path: there are many spellings of a path.
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in _OPEN


def _knows_token(request: web.Request, tokens: list[bytes]) -> bool:
    given = request.headers.getall("Authorization", ())
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    offered = token.strip().encode("utf-8", "surrogateescape")
    known = False
    for expected in tokens:  # all of them, whichever fits: the time taken tells nothing
        known |= hmac.compare_digest(offered, expected)
    return known and scheme.lower() == "bearer"
