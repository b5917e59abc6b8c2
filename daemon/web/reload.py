"""``POST /api/v0/reload``: the configuration and the policies, as their files are now."""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import web

from daemon.web import answers, bodies
from daemon.web.answer_models import Document
from daemon.web.bodies import NoBody
from daemon.web.body import read_json
from daemon.web.caller import caller
from daemon.web.context import ApiContext
from daemon.web.work import Workers


class ReloadResult(Document):
    """The policies in force now, and what is another one than before: keys, ``policy NAME``, ``protect``."""

    policies: list[str]
    changed: list[str]


class Reload:
    """The handler."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def reload(self, request: web.Request) -> web.Response:
        """Everything or nothing; a client that goes away stops it not."""
        bodies.check(NoBody, await read_json(request, optional=True))
        again = partial(self._context.reload, caller(request).initiator)
        # not on the threads of the readers: it may wait for another reload, and that for the database
        done = await self._workers.to_the_end(asyncio.to_thread(again))
        data = {"policies": list(done.policies), "changed": list(done.changed)}
        return answers.success(request, "RELOADED", data=data)
