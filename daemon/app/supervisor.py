"""Brings the daemon to work and keeps an eye on what it stands on: the catalog and the storage root.

Recovery settles the trash before any work is accepted. While the database is down or the root is not there, the
daemon waits and tries again; it never infers anything from what it cannot see.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress

from daemon import clock, log
from daemon.app.auditing import Auditing
from daemon.app.janitor import Janitor
from daemon.app.policy_facts import policy_facts
from daemon.app.readiness import Readiness
from daemon.app.scanning import Scanning
from daemon.app.services import Services
from daemon.app.settings import Current, Settings
from daemon.app.vitals import Lasting
from daemon.catalog.daemon_lock import DaemonLock
from daemon.deletion.models import Trigger
from daemon.errors import (
    CatalogNotReady,
    CatalogRolledBack,
    CatalogUnavailable,
    ErrorCode,
    RootUnavailable,
    StartupRefused,
    SweepdError,
    TaskRefused,
)
from daemon.metrics.space import SpaceFacts
from daemon.policy.models import PolicySet
from daemon.scheduler import Anchor, Scheduler
from daemon.storage.locks import exclusive, sign
from daemon.storage.space import FileSystem
from daemon.sweep.report import SweepReport

_log = log.get(__name__)
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 30.0
# The root's marker is read in microseconds; the catalog takes a few queries.
_WATCH_ROOT_S = 1.0
_WATCH_CATALOG_S = 5.0
_LOCK_PATIENCE_S = 5.0


class Supervisor:
    """One thread that prepares the daemon, starts its scheduler, and watches. ``fatal`` is set if it must not run."""

    def __init__(
        self,
        services: Services,
        current: Current,
        readiness: Readiness,
        on_sweep: Callable[[SweepReport], None] | None = None,
    ) -> None:
        self._services = services
        self._current = current
        self._changing = threading.Lock()
        self._scheduled = False
        self._readiness = readiness
        self._on_sweep = on_sweep
        self._scheduler = Scheduler(self._sweep, workers=services.config.workers.sweeps)
        self._lock: DaemonLock | None = None
        self._janitor = Janitor(
            services,
            lambda: current.config,
            may_work=lambda: self._is_fine("catalog", "storage_root", "journal"),
            may_expire=lambda: self._is_fine("clock"),
        )
        self._scanning = Scanning(
            services, lambda: current.config, may_work=lambda: self._is_fine("catalog", "storage_root", "clock")
        )
        self._auditing = Auditing(services.catalog, services.metrics, lambda: current.config.audit.file)
        self._stopping = threading.Event()
        self._held = ExitStack()
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)
        self.ended = threading.Event()
        self.fatal: Exception | None = None

    @property
    def unsettled(self) -> int | None:
        """Entries of the trash that are stuck; None if that is not known yet."""
        return self._janitor.unsettled

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further sweep, let the deletions in hand finish, and give up the root's lock."""
        self._stopping.set()
        self._services.sweeper.stop()
        with self._changing:  # a reload under way
            self._scheduler.stop()
        self._scanning.stop()
        self._janitor.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._auditing.stop()
        self._held.close()

    def threads(self) -> list[Lasting]:
        """Those that have to live at this moment."""
        if self._stopping.is_set() or self.ended.is_set() or self._thread.native_id is None:
            return []
        found = [Lasting(self._thread)]
        if self._scheduled:
            found += [Lasting(self._janitor.thread), Lasting(self._scanning.thread)]
            found += [Lasting(thread, turns=False) for thread in self._scheduler.threads]
        return found

    def adopt(self, settings: Settings) -> None:
        """Put these settings in force. Sweeps that run go on with those they began with.

        Raises CatalogUnavailable or CatalogNotReady, and then nothing has changed.
        """
        with self._changing:
            anchors = self._remember(settings.policies) if self._scheduled else {}
            self._current.settings = settings
            self._services.catalog.database.audited = settings.config.audit.file is not None
            if self._scheduled and not self._stopping.is_set():
                self._scheduler.replace(settings.policies, anchors)

    def sign(self, facts: Mapping[str, object]) -> None:
        """Let ``sweepd reload`` on this machine know the process, and these facts, once it has the root."""
        if self._scheduled:
            with suppress(SweepdError, OSError):
                sign(self._services.root, "daemon", {"pid": os.getpid(), **facts})

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
            except (CatalogUnavailable, CatalogNotReady, RootUnavailable, TaskRefused, OSError) as error:
                component = _component(error)
                if self._readiness.set(component, str(error)):
                    code = error.code if isinstance(error, SweepdError) else ErrorCode.ROOT_UNAVAILABLE
                    _log.error("not_ready", component=component, error=code, reason=str(error))
            self._stopping.wait(retry)
            retry = min(retry * 2, _LONGEST_RETRY_S)
        return False

    def _prepare_once(self) -> None:
        services = self._services
        services.catalog.database.check_sessions()
        services.catalog.check(thoroughly=True)
        self._readiness.set("catalog", None)
        with services.root.open() as root:
            services.metrics.health.root(root.root_id, str(services.root.path))
            self._readiness.set("storage_root", None)
        with ExitStack() as stack:
            if not self._patiently(lambda: stack.enter_context(exclusive(services.root, "daemon", signs=True))):
                raise _taken(f"the storage root {services.root.path}")
            self._lock = DaemonLock(services.catalog.database, services.catalog.root_id())
            stack.callback(self._lock.release)
            if not self._patiently(self._lock.hold):
                raise _taken(f"the catalog of {services.root.path}, perhaps on another machine,")
            self._janitor.recover()
            self._readiness.set("journal", None)
            self._look("clock", self._see_clock)
            with self._changing:
                if self._stopping.is_set():  # nobody would stop what begins now
                    return
                policies = self._current.policies
                anchors = self._remember(policies)
                self._held = stack.pop_all()  # nothing fails any more: else all of it is tried again
                self._readiness.set("recovery", None)
                self._janitor.start()
                self._scanning.start()
                self._auditing.start()
                self._scheduler.start(policies, anchors)
                self._scheduled = True
        self.sign({})
        self._readiness.set("scheduler", None)
        _log.info("ready", root=str(services.root.path), policies=[policy.name for policy in policies.policies])

    def _remember(self, policies: PolicySet) -> dict[str, Anchor]:
        """Where the schedules of these policies count from; the metrics are told what is known of them."""
        suspensions, metrics = self._services.sweeper.suspensions, self._services.metrics
        with self._services.catalog.write() as session:
            suspended = {policy.name: suspensions.found(session, policy) for policy in policies.policies}
            facts = policy_facts(session, policies)
        # Nothing fails any more: until here the metrics are those of the policies before.
        metrics.policies.load(facts)
        for name, is_suspended in suspended.items():
            metrics.policies.suspended(name, is_suspended)
        metrics.policies.schedule(self._scheduler.next_runs)
        return {one.name: Anchor(one.first_seen, one.last_run) for one in facts}

    def _patiently(self, hold: Callable[[], bool]) -> bool:
        """Whether a lock could be had: a command may hold it for a moment, or a daemon that was killed just now, until
        its connection is seen to be gone.
        """
        end = clock.monotonic() + _LOCK_PATIENCE_S
        while not hold():
            if clock.monotonic() >= end or self._stopping.wait(0.2):
                return False
        return True

    def _watch(self) -> None:
        catalog_at = clock.monotonic() + _WATCH_CATALOG_S
        while not self._stopping.wait(_WATCH_ROOT_S):
            now = clock.monotonic()
            self._look("storage_root", self._see_root)
            if now >= catalog_at:
                catalog_at = now + _WATCH_CATALOG_S
                if self._look("catalog", self._see_catalog):
                    self._look_at_journal()
                    self._look("clock", self._see_clock)
                    self._keep_lock()
                else:
                    catalog_at = now  # its return is not to be missed

    def _look(self, component: str, see: Callable[[], None]) -> bool:
        problem: str | None = None
        try:
            with self._readiness.asking(component):
                see()
        except (SweepdError, OSError) as error:
            problem = str(error)
        self._report(component, problem)
        return problem is None

    def _report(self, component: str, problem: str | None) -> None:
        if self._readiness.set(component, problem):
            (_log.error if problem else _log.info)("component_changed", component=component, reason=problem)
            if problem is None:
                self._janitor.recover_soon()

    def _see_root(self) -> None:
        metrics, config = self._services.metrics, self._current.config
        try:
            disk = self._services.root.probe()
        except SweepdError:
            metrics.space.seen(None)  # what is mounted there instead is nobody's business
            raise
        metrics.space.seen(_space(disk), config.trash.min_free.of(disk.size_bytes))

    def _see_catalog(self) -> None:
        self._services.catalog.check()
        self._services.sweeper.suspensions.report(self._current.policies)

    def _look_at_journal(self) -> None:
        """Whether the database has forgotten deletions. While that cannot be seen, what was seen last holds."""
        problem: str | None = None
        try:
            with self._readiness.asking("catalog"), self._services.root.open() as root:
                self._services.continuity.check(root, thoroughly=False)
                self._services.continuity.advance(root)
        except CatalogRolledBack as error:
            problem = str(error)
        except (SweepdError, OSError):
            return  # catalog and root tell of themselves
        self._report("journal", problem)

    def _see_clock(self) -> None:
        problem = self._services.clock_guard.problem()
        if problem is not None:
            raise SweepdError(problem, code=ErrorCode.CLOCK_UNRELIABLE)

    def _keep_lock(self) -> None:
        """The lock goes with its connection: after an outage it is taken again, unless another daemon was faster."""
        assert self._lock is not None
        try:
            with self._readiness.asking("catalog"):
                held = self._lock.hold()
        except SweepdError:
            return  # the catalog is down again: the next look tells
        if not held:
            raise _taken(f"the catalog of {self._services.root.path}")

    def _is_fine(self, *components: str) -> bool:
        problems = self._readiness.snapshot()
        return all(problems[component] is None for component in components)

    def _sweep(self, name: str) -> None:
        if self._stopping.is_set():  # it would count as a run that was not missed
            return
        policies = self._current.policies  # to the end of the sweep, whatever is reloaded meanwhile
        try:
            policy = policies.get(name)
            report = self._services.sweeper.sweep(policies, policy, Trigger.SWEEP, f"policy:{name}")
        except SweepdError:
            return  # logged and counted where it happened
        if self._on_sweep is not None:
            self._on_sweep(report)


def _component(error: Exception) -> str:
    if isinstance(error, RootUnavailable | OSError):
        return "storage_root"
    return "journal" if isinstance(error, CatalogRolledBack) else "catalog"


def _space(disk: FileSystem) -> SpaceFacts:
    return SpaceFacts(
        size_bytes=disk.size_bytes,
        free_bytes=disk.size_bytes - disk.used_bytes,
        available_bytes=disk.available_bytes,
        inodes=disk.inodes,
        free_inodes=disk.inodes - disk.used_inodes,
    )


def _taken(what: str) -> StartupRefused:
    return StartupRefused(f"another sweepd serves {what} already; stop it, or use its API")
