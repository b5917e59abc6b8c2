"""The daemon's end of one child process that counts and removes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import daemon
from daemon.storage.worker import MESSAGE_BYTES

_STOP_S: Final = 10.0


class Child:
    """One child process. All methods raise OSError or ValueError if it is gone."""

    def __init__(self, idle_fd: int, priority: str, rate: float | None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._socket = ours
            package = str(Path(daemon.__file__).parent.parent)
            command = [sys.executable, "-s", "-P", "-m", "daemon.storage.worker"]  # -P: not from the working directory
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(idle_fd), priority, "-" if rate is None else str(rate)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), idle_fd),
                env={"PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1"},
            )

    @property
    def pid(self) -> int:
        """Of the process; it is not given to another one before its end has been noticed here."""
        return self._process.pid

    def strike(self) -> None:
        """Have it killed, without waiting; whoever hears it finds it gone. From any thread."""
        self._process.kill()

    def ask(self, message: Mapping[str, Any], base_fd: int) -> None:
        """Give it something to do in a directory."""
        socket.send_fds(self._socket, [json.dumps(message).encode()], [base_fd])

    def hear(self) -> dict[str, Any]:
        """The next thing it says."""
        data = self._socket.recv(MESSAGE_BYTES)
        if not data:
            raise ConnectionError(f"a worker process ended with {self._process.poll()}")
        message: dict[str, Any] = json.loads(data)
        return message

    def end(self) -> None:
        """Let it go: it has nothing to do."""
        self._socket.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()
