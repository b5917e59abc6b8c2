"""The routes, put together."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from daemon.web import answers
from daemon.web.audit import Audit
from daemon.web.bodies import BatchBody, HoldBody, NoBody, RestoreBody, SingleBody, SweepBody
from daemon.web.body import MAX_BODY
from daemon.web.caller import Scope
from daemon.web.context import ApiContext
from daemon.web.deletions import Deletions
from daemon.web.envelope import envelope
from daemon.web.guard import make_guard
from daemon.web.health import Health
from daemon.web.holds import Holds
from daemon.web.inventory import Inventory
from daemon.web.list_queries import DeletionsQuery, TasksQuery
from daemon.web.listing import Listing
from daemon.web.operations import Operation
from daemon.web.policies import Policies
from daemon.web.queries import AtQuery, HoldsQuery, InventoryQuery, PlanQuery, SweepsQuery
from daemon.web.storage import Storage
from daemon.web.sweeps import Sweeps
from daemon.web.task import Task
from daemon.web.trash import Trash
from daemon.web.work import Workers

TASKS: Final = "/api/v0/data_pipeline/tasks"
TRASH: Final = "/api/v0/data_pipeline/trash"
PURGES: Final = "/api/v0/data_pipeline/purges"
DELETIONS: Final = "/api/v0/deletions"
STORAGE: Final = "/api/v0/storage"
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
    workers = Workers(context.deletions, context.reads)
    operations = _operations(context, workers)
    application = web.Application(
        middlewares=[envelope, make_guard(context.server, operations)],
        client_max_size=MAX_BODY,
        handler_args=_CONNECTION,
    )
    application.add_routes([operation.route() for operation in operations])
    application.on_response_prepare.append(answers.complete_prepared)

    async def stop(_application: web.Application) -> None:
        workers.stopping.set()

    application.on_shutdown.append(stop)
    return application


def _operations(context: ApiContext, workers: Workers) -> list[Operation]:
    deletions, health, trash = Deletions(context, workers), Health(context), Trash(context, workers)
    holds, policies, sweeps = Holds(context, workers), Policies(context, workers), Sweeps(context, workers)
    # Everything below, slashes and decoded newlines included: the engine's check refuses it by name.
    task = TASKS + r"/{task_id:[\s\S]*}"
    read, delete, admin = Scope.READ, Scope.DELETE, Scope.ADMIN
    return [
        Operation("DELETE", TASKS, deletions.many, delete, body=BatchBody),
        Operation("GET", TASKS, Listing(context, workers).tasks, read, query=TasksQuery),
        Operation("DELETE", task, deletions.one, delete, body=SingleBody),
        Operation("POST", task + "/restore", trash.restore, admin, body=RestoreBody, body_optional=True),
        Operation("GET", task + "/explain", policies.explain, read, query=AtQuery),
        Operation("GET", task, Task(context, workers).show, read),  # after those that end in a word
        Operation("GET", DELETIONS, Audit(context, workers).listed, read, query=DeletionsQuery),
        Operation("GET", STORAGE, Storage(context, workers).show, read),
        Operation("GET", POLICIES, policies.listed, read),
        Operation("GET", POLICIES + "/{name}/plan", policies.plan, read, query=PlanQuery),
        Operation("POST", POLICIES + "/{name}/plans", policies.store, delete, body=NoBody, body_optional=True),
        Operation("POST", POLICIES + "/{name}/sweeps", policies.sweep, delete, body=SweepBody),
        Operation("GET", SWEEPS, sweeps.listed, read, query=SweepsQuery),
        Operation("GET", SWEEPS + "/{sweep_id}", sweeps.one, read),
        Operation("GET", TRASH, trash.waiting, read),
        Operation("GET", PURGES, trash.purges, read),
        Operation("GET", INVENTORY, Inventory(context, workers).show, read, query=InventoryQuery),
        Operation("GET", HOLDS, holds.listed, read, query=HoldsQuery),
        Operation("POST", HOLDS, holds.place, admin, body=HoldBody),
        Operation("DELETE", HOLDS + "/{hold_id}", holds.release, admin, body=NoBody, body_optional=True),
        Operation("GET", "/livez", health.live, None),
        Operation("GET", "/readyz", health.ready, None),
        Operation("GET", "/metrics", health.metrics, read),
    ]
