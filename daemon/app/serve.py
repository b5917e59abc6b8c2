"""The daemon as a process: supervisor, HTTP server, signals, and the order in which all of it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from daemon import __version__, log, systemd
from daemon.app.ending import Ending
from daemon.app.listening import check_address, listening, most_connections
from daemon.app.readiness import Readiness
from daemon.app.services import Services
from daemon.app.supervisor import Supervisor
from daemon.policy.models import PolicySet
from daemon.sweep.report import SweepReport
from daemon.web.application import JOBS_RUNNER, make_application
from daemon.web.connections import Connections, Limits
from daemon.web.context import ApiContext
from daemon.web.job_runner import JobRunner
from daemon.web.server import ApiRunner

_log = log.get(__name__)
_READ_THREADS = 4
_POLL_S = 0.2


async def serve(
    services: Services,
    policies: PolicySet,
    *,
    on_listening: Callable[[str], None] | None = None,
    on_sweep: Callable[[SweepReport], None] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT; a second one, or the end of ``server.shutdown_timeout``, ends the process itself.

    ``on_listening`` gets the server's address once it accepts connections.
    ``on_sweep`` gets the report of every sweep, on the sweep's thread.

    Raises StartupRefused: unsafe address, address in use, bad certificate, or another daemon on the same root; and
    DocumentError if the token file is wrong.
    """
    check_address(services.config)
    ending = Ending(services.config.server.shutdown_timeout.total_seconds())
    log.on_dropped(services.metrics.health.log_line_dropped)
    readiness = Readiness()
    supervisor = Supervisor(services, policies, readiness, on_sweep)
    async with _listening(services, policies, readiness) as (address, jobs):
        socket = services.config.server.socket and str(services.config.server.socket)
        _log.info("listening", address=address, socket=socket, version=__version__)
        if on_listening is not None:
            on_listening(address)
        supervisor.start()
        systemd.notify("READY=1", f"STATUS=serving {address}")
        while not ending.asked.is_set() and not supervisor.ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.asked.wait(), _POLL_S)
        ending.begin()
        # First no new work from the schedule, then none from the network, then the work in hand.
        _log.info("stopping")
        systemd.notify("STOPPING=1")
        await jobs.stop()  # before the root's lock is given up: another daemon would go on with them
        await asyncio.to_thread(supervisor.stop)
    _log.info("stopped")
    if supervisor.fatal is not None:
        raise supervisor.fatal


@contextlib.asynccontextmanager
async def _listening(
    services: Services, policies: PolicySet, readiness: Readiness
) -> AsyncIterator[tuple[str, JobRunner]]:
    config = services.config
    deletions = ThreadPoolExecutor(config.workers.deletions, thread_name_prefix="deletion")
    reads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read")
    context = ApiContext(
        engine=services.engine,
        restorer=services.restorer,
        retention=services.retention,
        holds=services.holds,
        purges=services.purges,
        catalog=services.catalog,
        metrics=services.metrics,
        server=config.server,
        deletions=deletions,
        deletion_threads=config.workers.deletions,
        reads=reads,
        policies=lambda: policies,
        sweeper=services.sweeper,
        readiness=readiness.snapshot,
        root=services.root,
    )
    limits = Limits(connections=most_connections(config.server))
    connections = Connections(limits, services.metrics.server.connection_closed)
    application = make_application(context)
    runner = ApiRunner(
        application,
        connections=connections,
        access_log=None,
        shutdown_timeout=config.server.shutdown_timeout.total_seconds(),
    )
    try:
        await runner.setup()
        async with listening(runner, config.server) as address:
            yield address, application[JOBS_RUNNER]
    finally:
        await runner.cleanup()
        await asyncio.to_thread(deletions.shutdown, wait=True)
        reads.shutdown(wait=False, cancel_futures=True)
