"""The routes, put together."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from daemon.jobs.journal import Journal
from daemon.web import answers
from daemon.web.bodies import BatchBody, HoldBody, NoBody, RestoreBody, SingleBody, SweepBody
from daemon.web.body import MAX_BODY
from daemon.web.caller import Scope
from daemon.web.context import ApiContext
from daemon.web.deletions import Deletions
from daemon.web.envelope import envelope
from daemon.web.events import Events
from daemon.web.guard import make_guard
from daemon.web.health import Health
from daemon.web.holds import Holds
from daemon.web.idempotency import Idempotency
from daemon.web.inventory import Inventory
from daemon.web.job_runner import JobRunner
from daemon.web.jobs import JOBS, Jobs
from daemon.web.lanes import Lanes
from daemon.web.listing import Listing
from daemon.web.operations import Operation
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

JOBS_RUNNER: Final = web.AppKey("jobs_runner", JobRunner)

_CONNECTION: Final = {
    "auto_decompress": False,  # nothing is taken compressed, so nothing can be a bomb
    "keepalive_timeout": 30.0,  # seconds; also ends a connection whose request head does not arrive
    "lingering_time": 5.0,  # seconds to drain a refused body, so that its client can read the answer
    "max_line_size": 32_768,  # bytes; an absurdly long id is answered like any other wrong one
}


def make_application(context: ApiContext) -> web.Application:
    """The API over ``context``. Run it with ``daemon.web.server.ApiRunner``."""
    lanes = Lanes(context.deletions, context.deletion_threads, context.server.max_waiting, context.metrics)
    workers, journal = Workers(lanes, context.reads), Journal(context.catalog)
    runner = JobRunner(context, workers, journal)
    operations = _operations(context, workers, journal, runner)
    application = web.Application(
        middlewares=[envelope, make_guard(context.server, operations)],
        client_max_size=MAX_BODY,
        handler_args=_CONNECTION,
    )
    application.add_routes([operation.route() for operation in operations])
    application.on_response_prepare.append(answers.complete_prepared)

    async def start(_application: web.Application) -> None:
        runner.start()

    async def stop(_application: web.Application) -> None:
        workers.stopping.set()
        runner.stopping.set()

    async def finish(_application: web.Application) -> None:
        await runner.stop()

    application[JOBS_RUNNER] = runner
    application.on_startup.append(start)
    application.on_shutdown.append(stop)
    application.on_cleanup.append(finish)
    return application


def _operations(context: ApiContext, workers: Workers, journal: Journal, runner: JobRunner) -> list[Operation]:
    idempotency, jobs = Idempotency(context.catalog, workers), Jobs(context, workers, journal, runner)
    deletions, trash = Deletions(context, workers, idempotency, jobs), Trash(context, workers, idempotency)
    health, events = Health(context), Events(context, workers, journal, runner)
    holds, policies, sweeps = Holds(context, workers), Policies(context, workers), Sweeps(context, workers)
    # Everything below, slashes and decoded newlines included: the engine's check refuses it by name.
    task = TASKS + r"/{task_id:[\s\S]*}"
    read, delete, admin = Scope.READ, Scope.DELETE, Scope.ADMIN
    return [
        Operation("DELETE", TASKS, deletions.many, delete, body=BatchBody),
        Operation("GET", TASKS, Listing(context, workers).tasks, read),
        Operation("DELETE", task, deletions.one, delete, body=SingleBody),
        Operation("POST", task + "/restore", trash.restore, admin, body=RestoreBody, body_optional=True),
        Operation("GET", task + "/explain", policies.explain, read),
        Operation("GET", POLICIES, policies.listed, read),
        Operation("GET", POLICIES + "/{name}/plan", policies.plan, read),
        Operation("POST", POLICIES + "/{name}/plans", policies.store, delete, body=NoBody, body_optional=True),
        Operation("POST", POLICIES + "/{name}/sweeps", policies.sweep, delete, body=SweepBody),
        Operation("GET", SWEEPS, sweeps.listed, read),
        Operation("GET", SWEEPS + "/{sweep_id}", sweeps.one, read),
        Operation("GET", JOBS, jobs.listed, read),
        Operation("GET", JOBS + "/{job_id}", jobs.one, read),
        Operation("GET", JOBS + "/{job_id}/events", events.stream, read),
        Operation("DELETE", JOBS + "/{job_id}", jobs.cancel, delete, body=NoBody, body_optional=True),
        Operation("GET", TRASH, trash.waiting, read),
        Operation("GET", PURGES, trash.purges, read),
        Operation("GET", INVENTORY, Inventory(context, workers).show, read),
        Operation("GET", HOLDS, holds.listed, read),
        Operation("POST", HOLDS, holds.place, admin, body=HoldBody),
        Operation("DELETE", HOLDS + "/{hold_id}", holds.release, admin, body=NoBody, body_optional=True),
        Operation("GET", "/livez", health.live, None),
        Operation("GET", "/readyz", health.ready, None),
        Operation("GET", "/metrics", health.metrics, read),
    ]
