"""What one address of the API takes and answers: the routes, the guard and the API's description are made of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import BaseModel

from daemon.web.bodies import Body
from daemon.web.caller import Scope

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PATTERN: Final = re.compile(r"\{(\w+):[^}]*\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """``path`` may hold aiohttp's patterns. ``scope`` None: open to everybody who reaches the server.

    ``query`` and ``body`` are the models that the handler checks the request with; ``body_optional``: it may be absent.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    query: type[BaseModel] | None = None
    body: type[Body] | None = None
    body_optional: bool = False

    @property
    def public_path(self) -> str:
        """The path with plain ``{names}``, as a description shows it."""
        return _PATTERN.sub(r"{\1}", self.path)

    def route(self) -> web.RouteDef:
        """The route, HEAD included for GET."""
        return (
            web.get(self.path, self.handler)
            if self.method == "GET"
            else web.route(self.method, self.path, self.handler)
        )
