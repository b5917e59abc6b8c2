"""Brings the daemon to work and keeps an eye on what it stands on: the catalog and the storage root.

Recovery settles the trash before any work is accepted. While the database is down or the root is not there, the
daemon waits and tries again; it never infers anything from what it cannot see.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from daemon import clock, log
from daemon.app.readiness import Readiness
from daemon.app.services import Services
from daemon.catalog import sweeps
from daemon.deletion.models import Trigger
from daemon.deletion.recovery import Result
from daemon.errors import CatalogNotReady, CatalogUnavailable, RootUnavailable, StartupRefused, SweepdError
from daemon.policy.models import Policy, PolicySet
from daemon.scheduler import Anchor, Scheduler
from daemon.storage.locks import exclusive
from daemon.sweep.report import SweepReport

_log = log.get(__name__)
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 30.0
# The root's marker is read in microseconds; the catalog takes a few queries.
_WATCH_ROOT_S = 1.0
_WATCH_CATALOG_S = 5.0
_RECOVER_S = 60.0


class Supervisor:
    """One thread that prepares the daemon, starts its scheduler, and watches. ``fatal`` is set if it must not run."""

    def __init__(
        self,
        services: Services,
        policies: PolicySet,
        readiness: Readiness,
        on_sweep: Callable[[SweepReport], None] | None = None,
    ) -> None:
        self._services = services
        self._policies = policies
        self._readiness = readiness
        self._on_sweep = on_sweep
        self._scheduler = Scheduler(self._sweep, workers=services.config.workers.sweeps)
        self._stopping = threading.Event()
        self._held = ExitStack()
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)
        self.ended = threading.Event()
        self.fatal: Exception | None = None

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further sweep, let the deletions in hand finish, and give up the root's lock."""
        self._stopping.set()
        self._services.sweeper.stop()
        self._scheduler.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._held.close()

    def _work(self) -> None:
        try:
            if self._prepare():
                self._watch()
        except Exception as error:  # a refusal, or a bug: either way the process must not go on half alive
            if not isinstance(error, SweepdError):
                _log.exception("supervisor_crashed")
            self.fatal = error
        finally:
            self.ended.set()

    def _prepare(self) -> bool:
        retry = _FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                self._prepare_once()
                return True
            except (CatalogUnavailable, CatalogNotReady, RootUnavailable) as error:
                component = "storage_root" if isinstance(error, RootUnavailable) else "catalog"
                if self._readiness.set(component, str(error)):
                    _log.error("not_ready", component=component, error=error.code, reason=str(error))
            self._stopping.wait(retry)
            retry = min(retry * 2, _LONGEST_RETRY_S)
        return False

    def _prepare_once(self) -> None:
        services = self._services
        services.catalog.check()
        self._readiness.set("catalog", None)
        with services.root.open():
            self._readiness.set("storage_root", None)
        with ExitStack() as stack:
            if not stack.enter_context(exclusive(services.root, "daemon")):
                raise StartupRefused(
                    f"another sweepd serves the storage root {services.root.path} already; stop it, or use its API"
                )
            services.recovery.run()
            self._held = stack.pop_all()
        self._readiness.set("recovery", None)
        anchors = {}
        with services.catalog.write() as session:
            for policy in self._policies.policies:
                memory = sweeps.remember(session.connection, policy.name)
                anchors[policy.name] = Anchor(memory.first_seen_at, memory.last_run_at)
                services.metrics.policy_memory(policy.name, memory.last_run_at, memory.last_success_at)
        self._scheduler.start(self._policies, anchors)
        self._readiness.set("scheduler", None)
        _log.info("ready", root=str(services.root.path), policies=[policy.name for policy in self._policies.policies])

    def _watch(self) -> None:
        catalog_at = clock.monotonic() + _WATCH_CATALOG_S
        recover_at = clock.monotonic() + _RECOVER_S
        healthy = True
        while not self._stopping.wait(_WATCH_ROOT_S):
            now = clock.monotonic()
            root_is_there = self._look("storage_root")
            if now >= catalog_at:
                catalog_at = now + _WATCH_CATALOG_S
                healthy = self._look("catalog")
            if root_is_there and healthy and now >= recover_at:
                recover_at = now + _RECOVER_S
                self._recover()

    def _look(self, component: str) -> bool:
        problem: str | None = None
        try:
            if component == "catalog":
                self._services.catalog.check()
            else:
                with self._services.root.open():
                    pass
        except SweepdError as error:
            problem = str(error)
        if self._readiness.set(component, problem):
            (_log.error if problem else _log.info)("component_changed", component=component, reason=problem)
        return problem is None

    def _recover(self) -> None:
        try:
            results = self._services.recovery.run()
        except (SweepdError, OSError) as error:
            _log.error("recovery_failed", reason=str(error))
            return
        unsettled = results[Result.BLOCKED] + results[Result.CONFLICT]
        if unsettled:
            _log.warning("trash_unsettled", entries=unsettled)

    def _sweep(self, policy: Policy) -> None:
        try:
            report = self._services.sweeper.sweep(self._policies, policy, Trigger.SWEEP, f"policy:{policy.name}")
        except SweepdError:
            return  # logged and counted where it happened
        if self._on_sweep is not None:
            self._on_sweep(report)
