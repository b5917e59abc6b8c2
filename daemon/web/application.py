"""The API put together: its addresses, its guard, and what runs beside them."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from daemon.jobs.journal import Journal
from daemon.web import answers
from daemon.web.addresses import operations
from daemon.web.body import MAX_BODY
from daemon.web.context import ApiContext
from daemon.web.door import Door
from daemon.web.envelope import envelope
from daemon.web.guard import make_guard
from daemon.web.job_runner import JobRunner
from daemon.web.lanes import Lanes
from daemon.web.meter import loop_lag, make_meter
from daemon.web.operations import Operation
from daemon.web.refusals import RefusalLog
from daemon.web.work import Workers

OPERATIONS: Final = web.AppKey("operations", list[Operation])
"""Every address there is."""
JOBS_RUNNER: Final = web.AppKey("jobs_runner", JobRunner)
DOOR: Final = web.AppKey("door", Door)

_CONNECTION: Final = {
    "auto_decompress": False,  # nothing is taken compressed, so nothing can be a bomb
    "keepalive_timeout": 30.0,  # seconds; also ends a connection whose request head does not arrive
    "lingering_time": 5.0,  # seconds to drain a refused body, so that its client can read the answer
    "max_line_size": 32_768,  # bytes; an absurdly long id is answered like any other wrong one
}


def make_application(context: ApiContext) -> web.Application:
    """The API over ``context``. Run it with ``daemon.web.server.ApiRunner``.

    Its start raises DocumentError if there is a token file that cannot be read.
    """
    lanes = Lanes(context.deletions, context.deletion_threads, lambda: context.server().max_waiting, context.metrics)
    workers, journal = Workers(lanes, context.reads), Journal(context.catalog)
    runner = JobRunner(context, workers, journal)
    door, refusals = Door(context.server()), RefusalLog(context.catalog, context.metrics)
    context.metrics.health.watch(context.readiness)
    context.metrics.jobs.watch(runner.stall)
    addresses = operations(context, workers, journal, runner, refusals)
    application = web.Application(
        middlewares=[
            make_meter(context.metrics.server, addresses),
            envelope,
            make_guard(door, addresses, refusals),
        ],
        client_max_size=MAX_BODY,
        handler_args=_CONNECTION,
    )
    application[OPERATIONS] = addresses
    application[JOBS_RUNNER] = runner
    application[DOOR] = door
    application.add_routes([address.route() for address in addresses])
    application.cleanup_ctx.extend((door.running, refusals.running, loop_lag(context.metrics.server)))
    application.on_response_prepare.append(answers.complete_prepared)

    async def start(_application: web.Application) -> None:
        runner.start()

    async def stop(_application: web.Application) -> None:
        workers.stopping.set()
        runner.stopping.set()

    async def finish(_application: web.Application) -> None:
        await runner.stop()
        workers.close()

    application.on_startup.append(start)
    application.on_shutdown.append(stop)
    application.on_cleanup.append(finish)
    return application
