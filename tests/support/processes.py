"""Processes that run one function of the tests: forked from a server that has everything imported, so in milliseconds.

What needs a process of its own (to be killed, to lose its privileges, to get a private mount table, to hold a lock
against another) is written as a plain function in ``tests/support`` and started here by name.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PRELOADED = (
    "daemon.catalog.catalog",
    "daemon.catalog.setup",
    "daemon.deletion.engine",
    "daemon.deletion.recovery",
    "daemon.metrics.registry",
    "psycopg2",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "support.crash",
)
_FAILED = 70


@dataclass(frozen=True)
class Finished:
    """How a process ended: what its function returned, or which signal killed it."""

    value: Any
    killed_by: signal.Signals | None


class Child:
    """A process on its way."""

    def __init__(self, server: ForkServer, pid: int, output: Path) -> None:
        self.pid = pid
        self._server = server
        self._output = output

    def wait(self) -> Finished:
        """Wait for its end; AssertionError with its traceback if its function raised."""
        status = self._server.ask("wait", pid=self.pid)["status"]
        text = self._output.read_text(encoding="utf-8") if self._output.exists() else ""
        self._output.unlink(missing_ok=True)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return Finished(None, signal.Signals(-code))
        if code != 0:
            raise AssertionError(f"the process ended with exit status {code}:\n{text}")
        return Finished(json.loads(text), None)


class ForkServer:
    """Starts functions, named ``module:function``, each in a process of its own."""

    def __init__(self, preload: str = "support.processes:preload", **environment: str) -> None:
        """``preload`` is the function, ``module:function``, that imports what the children need."""
        tests = str(Path(__file__).parent.parent)
        environment = {**os.environ, "PYTHONPATH": tests, "PYTHONDONTWRITEBYTECODE": "1", **environment}
        self._folder = Path(tempfile.mkdtemp(prefix="sweepd-children-"))
        self._started = 0
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from support.processes import serve; serve(sys.argv[1])", preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def spawn(self, function: str, /, **arguments: Any) -> Child:
        """Start ``function(**arguments)`` and go on; arguments and result are JSON."""
        self._started += 1
        output = self._folder / str(self._started)
        pid = self.ask("spawn", function=function, arguments=arguments, output=str(output))["pid"]
        return Child(self, pid, output)

    def run(self, function: str, /, **arguments: Any) -> Finished:
        """Start it, and wait for its end."""
        return self.spawn(function, **arguments).wait()

    def start(self, **program: Any) -> int:
        """Start a program, see ``support.programs``; its process id."""
        pid: int = self.ask("start", **program)["pid"]
        return pid

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"operation": operation, **arguments}) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def preload() -> None:
    """Import what the functions of the tests need."""
    for name in _PRELOADED:
        importlib.import_module(name)


def serve(preload: str) -> None:
    """The server's life: one request a line, one answer a line, until its input ends."""
    _named(preload)()
    gc.freeze()  # a collection in a child would copy all of it
    for line in sys.stdin:
        request = json.loads(line)
        if request["operation"] == "wait":
            answer = {"status": os.waitpid(request["pid"], 0)[1]}
        else:
            pid = os.fork()
            if pid == 0 and request["operation"] == "start":
                _named("support.programs:become")(request)
            elif pid == 0:
                _run(request)
            answer = {"pid": pid}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _named(function: str) -> Callable[..., Any]:
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _run(request: dict[str, Any]) -> None:
    code = 0
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT, 0o600)  # while it still may
        try:
            text = json.dumps(_named(request["function"])(**request["arguments"]))
        except BaseException:
            code = _FAILED
            text = traceback.format_exc()
        os.write(output, text.encode())
    finally:
        os._exit(code)
