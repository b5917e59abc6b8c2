"""What one address of the API takes and answers: the routes, the guard and the API's description are made of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from daemon.errors import ErrorCode
from daemon.web.bodies import Body
from daemon.web.caller import Scope
from daemon.web.errors import ApiCode
from daemon.web.queries import NoQuery, Query, check_query

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PATTERN: Final = re.compile(r"\{(\w+):[^}]*\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """``path`` may hold aiohttp's patterns. ``scope`` None: open to everybody who reaches the server.

    ``query`` and ``body`` are the models that the handler checks the request with; ``body_optional``: it may be absent.
    ``answers``: the model of ``data`` by status, of every success, None for one without a body; ``beside``: what stands
    next to ``data``. ``headers``: those of the request that mean something to it (``daemon.web.description``).
    ``media``: media types of a success that is not the JSON envelope. ``errors``: the codes it can answer, without
    those that follow from the rest (``daemon.web.responses.errors_of``). ``links``: the operations that can follow,
    and which values of the answer's ``data`` (a JSON pointer) or of the request (``$request…``) go into their path.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    query: type[Query] | None = None
    body: type[Body] | None = None
    body_optional: bool = False
    answers: Mapping[int, type[BaseModel] | None] = field(default_factory=dict)
    beside: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    errors: tuple[ErrorCode | ApiCode, ...] = ()
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The operation's id in the description: of its handler."""
        owner = getattr(self.handler, "__self__", None)
        return f"{type(owner).__name__.lower()}_{getattr(self.handler, '__name__', self.method.lower())}"

    @property
    def public_path(self) -> str:
        """The path with plain ``{names}``, as a description shows it."""
        return _PATTERN.sub(r"{\1}", self.path)

    def route(self) -> web.RouteDef:
        """The route, HEAD included for GET."""
        takes_nothing = self.query is None and self.scope is not None
        return (
            web.get(self.path, _without_query(self.handler) if takes_nothing else self.handler)
            if self.method == "GET"
            else web.route(self.method, self.path, self.handler)
        )


def _without_query(handler: Handler) -> Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        check_query(NoQuery, request.query)
        return await handler(request)

    return checked
