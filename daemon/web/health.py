"""``/livez``, ``/readyz`` and ``/metrics``. None of them waits for a thread, the disk or the database."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from daemon.errors import ErrorCode
from daemon.web import answers
from daemon.web.caller import Scope, caller
from daemon.web.context import ApiContext
from daemon.web.errors import ApiCode, ApiError

_HIDDEN: Final = "not shown without a token that may read"
STARTING: Final = "starting"
"""What a component says that has not reported yet."""


def require_recovered(context: ApiContext) -> None:
    """Recovery runs before the API accepts work. Raises ApiError (STARTING), with the reason, while it does.

    CATALOG_ROLLED_BACK if the database has forgotten deletions.
    """
    reason = context.readiness().get("journal")
    if reason not in (None, STARTING):
        raise ApiError(ErrorCode.CATALOG_ROLLED_BACK, data={"component": "journal", "reason": reason})
    require_started(context)


def require_started(context: ApiContext) -> None:
    """What is only read does not ask whether the database is the right one. Raises ApiError (STARTING)."""
    reason = context.readiness().get("recovery")
    if reason is not None:
        raise ApiError(ApiCode.STARTING, data={"component": "recovery", "reason": reason})


class Health:
    """The three handlers."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    async def live(self, request: web.Request) -> web.Response:
        """The event loop turns: nothing else is asked."""
        return answers.success(request, "ALIVE", data={})

    async def ready(self, request: web.Request) -> web.Response:
        """200 if every component does its work, else 503; either lists them all.

        Where tokens are set, what is the matter is told to those who may read: it names the database and paths.
        """
        problems = self._context.readiness()
        if Scope.READ not in caller(request).scopes:
            problems = {
                name: _HIDDEN if problem not in (None, STARTING) else problem for name, problem in problems.items()
            }
        checks = {name: {"ready": problem is None, "problem": problem} for name, problem in problems.items()}
        ready = all(problem is None for problem in problems.values())
        if not ready:
            raise ApiError(ApiCode.NOT_READY, data={"checks": checks})
        return answers.success(request, "READY", data={"checks": checks})

    async def metrics(self, _request: web.Request) -> web.Response:
        """What Prometheus reads."""
        metrics = self._context.metrics
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.content_type})
