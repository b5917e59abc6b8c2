"""sweepd as a real process: an installation in a folder, its commands, and a running daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import requests

from daemon.app.initialise import initialise
from daemon.config import load_config
from support.programs import Program

_START_S = 30.0
_STOP_S = 60.0
_COMMAND_S = 120.0
Process: TypeAlias = subprocess.Popen[bytes] | Program
TASKS = "/api/v0/data_pipeline/tasks"


class Installation:
    """A configuration, policies and a storage root in ``folder``, on the database at ``url``."""

    def __init__(self, folder: Path, url: str, policies: str = "version: 1\n", *, port: int = 0) -> None:
        self.folder = folder
        self.url = url
        self.root = folder / "data_pipeline" / "training_data"
        self.config = folder / "config.yaml"
        self.module = "daemon"
        self.user: int | None = None  # one that has no name, no home and no variable that says so
        (folder / "policies").mkdir(parents=True, exist_ok=True)
        self.write_policies(policies)
        self.config.write_text(
            f"catalog: {{url: '{url}'}}\nserver: {{port: {port}}}\nlog: {{format: json}}\n", encoding="utf-8"
        )

    def write_policies(self, text: str) -> None:
        (self.folder / "policies" / "policies.yaml").write_text(text, encoding="utf-8")

    def init(self) -> None:
        """What ``sweepd init`` does, without a process of its own."""
        initialise(load_config(self.config))

    def run(self, *arguments: str, check: bool = True, cold: bool = False) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; ``cold``: in an interpreter that has nothing imported."""
        done = self._cold(*arguments) if cold else self._warm(*arguments)
        if check and done.returncode != 0:
            raise AssertionError(
                f"sweepd {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    @contextmanager
    def daemon(
        self, *, ready: bool = True, cold: bool = False, early: Callable[[Process], None] = lambda _process: None
    ) -> Iterator[Daemon]:
        """A running daemon; stopped, if need be killed, at the end. ``early`` is called as soon as it has a process."""
        log = self.folder / f"daemon-{time.monotonic_ns()}.log"
        process: Process
        with log.open("wb") as stream:
            if cold:
                process = subprocess.Popen(self._command("run"), stdout=stream, stderr=stream, env=_environment())
            else:
                process = Program(self.module, self._arguments("run"), log, log, self._environment(), self.user)
        daemon = Daemon(process, log)
        try:
            early(process)
            daemon.wait_for_event("ready" if ready else "listening")
            yield daemon
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise

    def _cold(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self._command(*arguments)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_S, env=_environment(), check=False
        )

    def _warm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory(prefix="sweepd-output-") as folder:
            output, errors = Path(folder) / "output", Path(folder) / "errors"
            program = Program(self.module, self._arguments(*arguments), output, errors, self._environment(), self.user)
            try:
                code = program.wait(_COMMAND_S)
            finally:
                program.kill()
            said = output.read_text(encoding="utf-8"), errors.read_text(encoding="utf-8")
        return subprocess.CompletedProcess(program.args, code, *said)

    def _environment(self) -> dict[str, str]:
        whole = _environment()
        if self.user is None:
            return whole
        return {
            name: value for name, value in whole.items() if name in ("PATH", "PYTHONPATH", "TZ", "PYTHONUNBUFFERED")
        }

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", self.module, *self._arguments(*arguments)]

    def _arguments(self, *arguments: str) -> list[str]:
        return ["--config", str(self.config), *arguments]


class Memory(NamedTuple):
    """Of one process: all that is resident, and what of it is its own.

    The rest are pages of program files, which others share and the kernel drops when it needs the room.
    """

    resident_mb: float
    own_mb: float


class Daemon:
    """A running ``sweepd run``."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self._log = log
        self._read = 0  # bytes of the log that `_events` holds
        self._events: list[dict[str, Any]] = []
        self._reading = threading.Lock()

    @cached_property  # not looked up in the log again and again, which grows with each request
    def address(self) -> str:
        return str(self.wait_for_event("listening")["address"])

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What it has logged so far, whole lines only."""
        with self._reading, self._log.open("rb") as log:
            log.seek(self._read)  # those who wait look again and again
            new = log.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read += len(whole)
            self._events += [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return [event for event in self._events if name is None or event["event"] == name]

    def wait_for_event(self, name: str, **fields: object) -> dict[str, Any]:
        """The first event of that name with these fields; fails if it does not come in time."""
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            for event in self.events(name):
                if all(event.get(key) == value for key, value in fields.items()):
                    return event
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(
            f"no event {name} {fields} from the daemon (exit {self.process.poll()}):\n{self._log.read_text()}"
        )

    def delete(self, task_id: str, **body: object) -> requests.Response:
        return requests.delete(f"{self.address}{TASKS}/{task_id}", json={"confirm": True, **body}, timeout=120)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.address}{path}", timeout=30)

    def memory(self) -> Memory:
        """What it has now, in units of 1,000,000 bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return Memory(*(int(fields[name].split()[0]) * 1024 / 1_000_000 for name in ("VmRSS", "RssAnon")))

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_S)


def _environment() -> dict[str, str]:
    return {**os.environ, "TZ": "UTC", "PYTHONUNBUFFERED": "1"}
