"""Who asks: what the guard found out about a request, for everything behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from daemon.tokens import EVERYTHING as EVERYTHING
from daemon.tokens import Scope as Scope
from daemon.web.errors import ApiCode, ApiError


@dataclass(frozen=True, slots=True)
class Caller:
    """``name``: of the token, None without one. ``address``: of the client, as far as it is known."""

    name: str | None
    address: str
    scopes: frozenset[Scope]

    @property
    def initiator(self) -> str:
        """For the journal and the log."""
        return f"api:{self.name or self.address}"

    def require(self, scope: Scope) -> None:
        """Raises ApiError (INSUFFICIENT_SCOPE) unless the token has ``scope``."""
        if scope not in self.scopes:
            header = {"WWW-Authenticate": f'Bearer realm="sweepd", error="insufficient_scope", scope="{scope}"'}
            raise ApiError(ApiCode.INSUFFICIENT_SCOPE, values={"scope": scope}, data={"scope": scope}, headers=header)


CALLER: Final = web.RequestKey("caller", Caller)
CLIENT: Final = web.RequestKey("client", str)
"""The client's address, before anything else is known of it."""


def caller(request: web.Request) -> Caller:
    """Who sent the request. Raises KeyError outside the guard."""
    return request[CALLER]
