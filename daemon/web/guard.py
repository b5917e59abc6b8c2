"""Who may ask: known host names only, no web pages, and a bearer token with the right scope where tokens are set."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from daemon import clock
from daemon.tokens import TokenEntry
from daemon.web.caller import CALLER, CLIENT, EVERYTHING, Caller, Scope
from daemon.web.door import Door, Rules
from daemon.web.errors import ApiCode, ApiError
from daemon.web.operations import Operation
from daemon.web.refusals import AUDITED, RefusalLog

_NOTHING = object()
_VERSIONS = (HttpVersion10, HttpVersion11)
_OWN_SITE = frozenset({"same-origin", "none"})
# RFC 6750: why it was refused is said of a token only, not to somebody who sent none
_INVALID = {"WWW-Authenticate": 'Bearer realm="sweepd", error="invalid_token", error_description="unknown or revoked"'}


def make_guard(door: Door, operations: Iterable[Operation], refusals: RefusalLog) -> Middleware:
    """The middleware for the rules in force. What is at no address of ``operations`` needs a token, but no scope."""
    scopes = {(operation.method, operation.public_path): operation.scope for operation in operations}

    def admit(request: web.Request, rules: Rules) -> TokenEntry | None:
        hosts, proxies, keyring = rules.hosts, rules.proxies, rules.keyring
        # aiohttp takes any version, and after a CONNECT reads the body as the next request
        if request.version not in _VERSIONS or request.method == "CONNECT":
            raise ApiError(ApiCode.BAD_REQUEST, headers={"Connection": "close"})
        if not hosts.allows(request.headers.getall("Host", ()), request.raw_path):
            raise ApiError(ApiCode.HOST_NOT_ALLOWED)
        if not all(hosts.allows([name], "*") for name in proxies.hosts(request)):
            raise ApiError(ApiCode.HOST_NOT_ALLOWED)
        if not _not_from_a_page(request):
            raise ApiError(ApiCode.ORIGIN_NOT_ALLOWED)
        if "#" in request.raw_path:  # aiohttp cuts it off: `task_1#2` would be task_1
            raise ApiError(ApiCode.BAD_REQUEST)
        # Which methods an address takes is no secret: the description says it.
        is_open = isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed)
        if not keyring.required:
            return None
        offered = _offered(request)
        if is_open or scopes.get(_address(request), _NOTHING) is None:  # a good token shows more, none is needed
            entry = None if offered is None else keyring.find(offered)
            return None if entry is None or entry.is_over(clock.now()) else entry
        if offered is None:
            raise ApiError(ApiCode.UNAUTHORIZED)
        entry = keyring.find(offered)
        if entry is None:
            raise ApiError(ApiCode.UNAUTHORIZED, headers=_INVALID)
        return entry

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        rules = door.rules
        request[CLIENT] = address = rules.proxies.client(request)
        name: str | None = None
        try:
            entry = admit(request, rules)
            name = None if entry is None else entry.name
            if entry is not None and entry.is_over(clock.now()):
                raise ApiError(ApiCode.TOKEN_EXPIRED, values={"token": name})
            request[CALLER] = caller = Caller(name, address, _scopes(entry, rules))
            scope = scopes.get(_address(request))
            if isinstance(scope, Scope):
                caller.require(scope)
            return await handler(request)
        except ApiError as error:
            if error.code in AUDITED:
                refusals.add(request, error.code, name)
                error.headers["Connection"] = "close"  # whoever tries again begins again
            raise

    return guard


def _scopes(entry: TokenEntry | None, rules: Rules) -> frozenset[Scope]:
    if entry is not None:
        return frozenset(entry.scopes)
    return frozenset() if rules.keyring.required else EVERYTHING


def _not_from_a_page(request: web.Request) -> bool:
    sites = request.headers.getall("Sec-Fetch-Site", ())
    return "Origin" not in request.headers and all(site.strip().lower() in _OWN_SITE for site in sites)


def _address(request: web.Request) -> tuple[str, str]:
    # By the route that was found, not by the path: there are many spellings of a path.
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return method, "" if resource is None else resource.canonical


def _offered(request: web.Request) -> bytes | None:
    given = request.headers.getall("Authorization", ())
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" and token.strip() else None
