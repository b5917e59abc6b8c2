"""Reloads the configuration and the policies: all of it, or nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import Final

from daemon import clock, log
from daemon.app.listening import check_address
from daemon.app.services import Services
from daemon.app.settings import Current, Settings, differences, load_settings
from daemon.app.supervisor import Supervisor
from daemon.errors import DocumentError, ErrorCode, StartupRefused, SweepdError
from daemon.web.context import Reloaded
from daemon.web.door import Door, prepare
from daemon.web.tls import LiveTls, server_context

_log = log.get(__name__)
_MOST: Final = 16_000
"""Characters of what went wrong, for the process that asked by signal."""


class Reloader:
    """Blocking, one at a time, for any thread. ``tls``: what the server's connections are made with.

    ``inherited``: sockets that are served instead of the configured addresses.
    """

    def __init__(
        self,
        services: Services,
        current: Current,
        supervisor: Supervisor,
        door: Door,
        tls: LiveTls | None,
        inherited: Sequence[socket.socket] = (),
    ) -> None:
        self._services = services
        self._current = current
        self._supervisor = supervisor
        self._door = door
        self._tls = tls
        self._inherited = inherited
        self._lock = threading.Lock()
        self._begun = 0
        services.metrics.reloads.succeeded(clock.now())

    def reload(self, reason: str) -> Reloaded:
        """Build what the files say now, and swap it in. Raises SweepdError, and then everything is as it was.

        DocumentError with every mistake in the files; RELOAD_REFUSED for what needs a restart, an unsafe address or a
        bad certificate; CatalogUnavailable or CatalogNotReady if the policies' memory cannot be read.
        """
        with self._lock:
            self._begun += 1
            self._supervisor.sign({"reloads_begun": self._begun})
            try:
                done = self._reload()
            except SweepdError as error:
                self._failed(reason, error)
                raise
            except Exception:
                _log.exception("reload_crashed", trigger=reason)
                self._services.metrics.reloads.failed()
                self._sign("a bug in sweepd, see its log", ErrorCode.RELOAD_REFUSED)
                raise
            self._services.metrics.reloads.succeeded(clock.now())
            _log.info("reloaded", trigger=reason, changed=list(done.changed), policies=list(done.policies))
            changed = ", ".join(done.changed) or "nothing has changed"
            self._sign(f"reloaded; policies: {', '.join(done.policies) or 'none'}; changed: {changed}")
            return done

    def _reload(self) -> Reloaded:
        before = self._current.settings
        settings = load_settings(before.config.file, before.config)
        tls = settings.config.server.tls
        try:
            check_address(settings.config, self._inherited)
            context = None if tls is None else server_context(tls)
        except StartupRefused as error:  # what a start would not begin with
            raise SweepdError(str(error), code=ErrorCode.RELOAD_REFUSED, details={"reason": str(error)}) from error
        rules = prepare(settings.config.server)
        # From here on only the policies' memory can be missing, and that is asked for first.
        self._supervisor.adopt(settings)
        self._door.rules = rules
        if self._tls is not None and context is not None:
            self._tls.context = context
        inventory = settings.config.inventory
        self._services.scanner.recount = inventory.recount
        self._services.metrics.inventory.every(inventory.every.total_seconds() if inventory.enabled else 0)
        log.configure(settings.config.log.level, settings.config.log.format)
        return Reloaded(tuple(policy.name for policy in settings.policies.policies), _changes(before, settings))

    def _failed(self, reason: str, error: SweepdError) -> None:
        self._services.metrics.reloads.failed()
        problems = [str(problem) for problem in error.problems] if isinstance(error, DocumentError) else []
        _log.error(
            "reload_failed",
            trigger=reason,
            error=error.code,
            reason="mistakes in the files" if problems else str(error),
            problems=problems,
        )
        self._sign(str(error), error.code)

    def _sign(self, message: str, code: ErrorCode | None = None) -> None:
        outcome = {"number": self._begun, "ok": code is None, "message": message[:_MOST], "error_code": code}
        self._supervisor.sign({"reloads_begun": self._begun, "reload": outcome})


def _changes(before: Settings, after: Settings) -> tuple[str, ...]:
    """What is another one now: keys of the configuration, and policies by name."""
    old = {policy.name: policy for policy in before.policies.policies}
    new = {policy.name: policy for policy in after.policies.policies}
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    found = [*differences(before.config, after.config), *(f"policy {name}" for name in names)]
    return (*found, *(["protect"] if before.policies.protect != after.policies.protect else []))
