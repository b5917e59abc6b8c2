"""sweepd as a process, forked from one that has everything imported: a real process, without a second of imports.

What it is started with is its own: arguments, environment, working directory, standard streams. What only a cold start
shows (an import that is missing or too late) is for ``python -m daemon``.
"""

from __future__ import annotations

import atexit
import importlib
import io
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import processes
from support.processes import ForkServer

_PRELOADED = (
    "daemon.app.initialise",
    "daemon.app.serve",
    "daemon.sweep.rehearsal",
    "requests",  # another user may not reach where this Python lies
    "sqlalchemy.dialects.postgresql.psycopg2",
    "sqlalchemy.dialects.sqlite.pysqlite",
)

_servers: dict[int, ForkServer] = {}


class Program:
    """One of them on its way; as much of ``subprocess.Popen`` as the tests use."""

    def __init__(
        self,
        module: str,
        arguments: list[str],
        output: Path,
        errors: Path,
        environment: Mapping[str, str],
        user: int | None = None,
    ):
        self.args = [module, *arguments]
        self.returncode: int | None = None
        self._server = server()
        self._lock = threading.Lock()
        self.pid = self._server.start(
            module=module,
            arguments=arguments,
            output=str(output),
            errors=str(errors),
            environment=dict(environment),
            folder=str(Path.cwd()),
            user=user,
        )
        self._ended = os.pidfd_open(self.pid)  # readable from its end on; the server has not waited for it yet

    def poll(self) -> int | None:
        """Its exit status if it has ended, negative if a signal ended it."""
        return self._status(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired, as Popen does."""
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _status(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None:
                poll = select.poll()
                poll.register(self._ended, select.POLLIN)
                if poll.poll(None if timeout is None else timeout * 1000):
                    status = self._server.ask("wait", pid=self.pid)["status"]
                    self.returncode = os.waitstatus_to_exitcode(status)
                    os.close(self._ended)
            return self.returncode


def server() -> ForkServer:
    """This process's server; a forked child of the tests gets one of its own."""
    found = _servers.get(os.getpid())
    if found is None:
        found = _servers[os.getpid()] = ForkServer(preload="support.programs:preload", TZ="UTC")
        atexit.register(found.close)
    return found


def preload() -> None:
    """Import what any command may need, and any function."""
    processes.preload()
    package = importlib.import_module("daemon.cli")
    for module in pkgutil.iter_modules(package.__path__, "daemon.cli."):
        importlib.import_module(module.name)
    for name in _PRELOADED:
        importlib.import_module(name)


def become(request: dict[str, Any]) -> None:
    """Turn a forked child into ``python -m module arguments``; does not return."""
    code = 1
    try:
        _redirect(request)
        code = _run(request["module"], request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _redirect(request: dict[str, Any]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for target, path, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["output"], flags),
        (2, request["errors"], flags),
    ):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, target)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # for the rest of its life
    sys.stdout, sys.stderr = (_unbuffered(1, "strict"), _unbuffered(2, "backslashreplace"))
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    if request["user"] is not None:  # as `podman run --user 54321` does: no other group than root's
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(*[request["user"]] * 3)


def _unbuffered(fd: int, errors: str) -> io.TextIOWrapper:
    """A stream as PYTHONUNBUFFERED makes them."""
    return io.TextIOWrapper(open(fd, "wb", 0, closefd=False), errors=errors, write_through=True)


def _run(module: str, arguments: list[str]) -> int:
    sys.argv = [module, *arguments]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    # The end of an interpreter, as far as anybody outside sees it: its threads, its exit functions, its buffers.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code
