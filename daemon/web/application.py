"""The routes, put together."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from daemon.web import answers
from daemon.web.body import MAX_BODY
from daemon.web.context import ApiContext
from daemon.web.deletions import Deletions
from daemon.web.envelope import envelope
from daemon.web.guard import make_guard
from daemon.web.health import Health
from daemon.web.holds import Holds
from daemon.web.inventory import Inventory
from daemon.web.listing import Listing
from daemon.web.policies import Policies
from daemon.web.sweeps import Sweeps
from daemon.web.trash import Trash
from daemon.web.work import Workers

TASKS: Final = "/api/v0/data_pipeline/tasks"
TRASH: Final = "/api/v0/data_pipeline/trash"
PURGES: Final = "/api/v0/data_pipeline/purges"
INVENTORY: Final = "/api/v0/inventory"
HOLDS: Final = "/api/v0/holds"
POLICIES: Final = "/api/v0/policies"
SWEEPS: Final = "/api/v0/sweeps"

_CONNECTION: Final = {
    "auto_decompress": False,  # nothing is taken compressed, so nothing can be a bomb
    "keepalive_timeout": 30.0,  # seconds; also ends a connection whose request head does not arrive
    "lingering_time": 5.0,  # seconds to drain a refused body, so that its client can read the answer
    "max_line_size": 32_768,  # bytes; an absurdly long id is answered like any other wrong one
}


def make_application(context: ApiContext) -> web.Application:
    """The API over ``context``. Run it with ``daemon.web.server.ApiRunner``."""
    application = web.Application(
        middlewares=[envelope, make_guard(context.server)],
        client_max_size=MAX_BODY,
        handler_args=_CONNECTION,
    )
    workers = Workers(context.deletions, context.reads)
    deletions, health, trash = Deletions(context, workers), Health(context), Trash(context, workers)
    holds = Holds(context, workers)
    policies, sweeps = Policies(context, workers), Sweeps(context, workers)
    application.add_routes(
        [
            web.delete(TASKS, deletions.many),
            web.get(TASKS, Listing(context, workers).tasks),
            # Everything below, slashes and decoded newlines included: the engine's check refuses it by name.
            web.delete(TASKS + r"/{task_id:[\s\S]*}", deletions.one),
            web.post(TASKS + r"/{task_id:[\s\S]*}/restore", trash.restore),
            web.get(TASKS + r"/{task_id:[\s\S]*}/explain", policies.explain),
            web.get(POLICIES, policies.listed),
            web.get(POLICIES + "/{name}/plan", policies.plan),
            web.post(POLICIES + "/{name}/plans", policies.store),
            web.post(POLICIES + "/{name}/sweeps", policies.sweep),
            web.get(SWEEPS, sweeps.listed),
            web.get(SWEEPS + "/{sweep_id}", sweeps.one),
            web.get(TRASH, trash.waiting),
            web.get(PURGES, trash.purges),
            web.get(INVENTORY, Inventory(context, workers).show),
            web.get(HOLDS, holds.listed),
            web.post(HOLDS, holds.place),
            web.delete(HOLDS + "/{hold_id}", holds.release),
            web.get("/livez", health.live),
            web.get("/readyz", health.ready),
            web.get("/metrics", health.metrics),
        ]
    )
    application.on_response_prepare.append(answers.complete_prepared)

    async def stop(_application: web.Application) -> None:
        workers.stopping.set()

    application.on_shutdown.append(stop)
    return application
