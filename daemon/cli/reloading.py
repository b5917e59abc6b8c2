"""Asks the daemon of this machine, by signal, to load its files anew, and waits for what comes of it."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

from daemon import clock
from daemon.app.services import Services
from daemon.cli.render import say
from daemon.errors import ErrorCode, SweepdError
from daemon.storage.locks import signed

_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.05


def reload_here(services: Services) -> None:
    """Print the outcome. Raises SweepdError: the daemon's own refusal, or that there is none to ask."""
    before = _note(services)
    if before is None:
        raise SweepdError(
            f"no daemon has the storage root {services.root.path}; one that still waits for its database, or that runs "
            "as somebody else or in another container, takes a SIGHUP: systemctl reload sweepd",
            code=ErrorCode.RELOAD_REFUSED,
        )
    # One that runs already may have read the files before they changed.
    wanted = before.get("reloads_begun", 0) + 1
    try:
        os.kill(before["pid"], signal.SIGHUP)
    except PermissionError as error:
        message = f"may not signal the daemon (process {before['pid']}): use its user, or --server"
        raise SweepdError(message, code=ErrorCode.RELOAD_REFUSED) from error
    end = clock.monotonic() + _PATIENCE_S
    while clock.monotonic() < end:
        if not _lives(before["pid"]):
            raise SweepdError("the daemon ended meanwhile; see its log", code=ErrorCode.RELOAD_REFUSED)
        outcome = (_note(services) or {}).get("reload")
        if outcome is not None and outcome["number"] >= wanted:
            if not outcome["ok"]:
                raise SweepdError(outcome["message"], code=ErrorCode(outcome["error_code"]))
            say(outcome["message"])
            return
        time.sleep(_LOOK_S)
    raise SweepdError(
        f"the daemon (process {before['pid']}) has not answered in {_PATIENCE_S:.0f} s; see its log",
        code=ErrorCode.RELOAD_REFUSED,
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _note(services: Services) -> dict[str, Any] | None:
    return signed(services.root, "daemon")
