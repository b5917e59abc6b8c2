"""The daemon as a process: supervisor, HTTP server, signals, and the order in which all of it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from socket import socket as Socket

from daemon import __version__, log, systemd
from daemon.app.ending import Ending
from daemon.app.listening import check_address, handed_over, listening, most_connections
from daemon.app.readiness import Readiness
from daemon.app.reload_signals import ReloadSignals
from daemon.app.reloading import Reloader
from daemon.app.services import Services
from daemon.app.settings import Current, Settings
from daemon.app.supervisor import Supervisor
from daemon.app.vitals import Lasting, Vitals
from daemon.app.watchdog import watched
from daemon.notify.notifier import Notifier
from daemon.policy.models import PolicySet
from daemon.sweep.report import SweepReport
from daemon.web.application import DOOR, JOBS_RUNNER, make_application
from daemon.web.connections import Connections, Limits
from daemon.web.context import ApiContext, Reloaded
from daemon.web.health import STARTING
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

    SIGHUP reloads. ``on_listening`` gets the server's address once it accepts connections.
    ``on_sweep`` gets the report of every sweep, on the sweep's thread.

    Raises StartupRefused: unsafe address, address in use, bad certificate, or another daemon on the same root; and
    DocumentError if the token file is wrong.
    """
    inherited = handed_over()
    check_address(services.config, inherited)
    ending = Ending(services.config.server.shutdown_timeout.total_seconds())
    log.on_dropped(services.metrics.health.log_line_dropped)
    readiness = Readiness()
    current = Current(Settings(services.config, policies))
    supervisor = Supervisor(services, current, readiness, on_sweep)
    notifier = Notifier(
        services.catalog,
        services.metrics,
        str(services.config.storage.root),
        config=lambda: current.config.notifications,
        policies=lambda: current.policies,
        problems=readiness.snapshot,
        starting=STARTING,
        unsettled=lambda: supervisor.unsettled,
    )
    async with _listening(services, current, supervisor, readiness, inherited) as (address, jobs, reloader):
        socket = services.config.server.socket and str(services.config.server.socket)
        _log.info("listening", address=address, socket=socket, version=__version__)
        if on_listening is not None:
            on_listening(address)
        notifier.start()
        supervisor.start()
        vitals = Vitals(lambda: [*supervisor.threads(), Lasting(notifier.thread)], services.workers)
        async with ReloadSignals(reloader, current).served(), watched(vitals.look, services.metrics.health.watchdog):
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
        await asyncio.to_thread(notifier.stop)  # the last: it hears what became of the others
    _log.info("stopped")
    if supervisor.fatal is not None:
        raise supervisor.fatal


@contextlib.asynccontextmanager
async def _listening(
    services: Services,
    current: Current,
    supervisor: Supervisor,
    readiness: Readiness,
    inherited: Sequence[Socket],
) -> AsyncIterator[tuple[str, JobRunner, Reloader]]:
    config = services.config
    deletions = ThreadPoolExecutor(config.workers.deletions, thread_name_prefix="deletion")
    reads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read")
    reloaders: list[Reloader] = []  # made once the server listens, before anybody is answered

    def reload(who: str) -> Reloaded:
        return reloaders[0].reload(who)

    context = ApiContext(
        engine=services.engine,
        restorer=services.restorer,
        retention=services.retention,
        holds=services.holds,
        purges=services.purges,
        catalog=services.catalog,
        metrics=services.metrics,
        server=lambda: current.config.server,
        deletions=deletions,
        deletion_threads=config.workers.deletions,
        reads=reads,
        policies=lambda: current.policies,
        sweeper=services.sweeper,
        readiness=readiness.snapshot,
        root=services.root,
        reload=reload,
    )
    limits = Limits(connections=most_connections(config.server))
    connections = Connections(limits, services.metrics.server.connection_closed)
    services.metrics.server.watch(lambda: connections.number)
    application = make_application(context)
    runner = ApiRunner(
        application,
        connections=connections,
        access_log=None,
        shutdown_timeout=config.server.shutdown_timeout.total_seconds(),
    )
    try:
        await runner.setup()
        async with listening(runner, config.server, inherited) as (address, tls):
            reloaders.append(Reloader(services, current, supervisor, application[DOOR], tls, inherited))
            yield address, application[JOBS_RUNNER], reloaders[0]
    finally:
        await runner.cleanup()
        await asyncio.to_thread(deletions.shutdown, wait=True)
        reads.shutdown(wait=False, cancel_futures=True)
