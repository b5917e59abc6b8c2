"""A TCP proxy before PostgreSQL that loses a COMMIT on its way there, or its answer on the way back."""

from __future__ import annotations

import contextlib
import socket
import threading
from enum import StrEnum

_COMMIT = b"COMMIT\0"  # the statement, as a simple query carries it
_COMMITTED = b"COMMIT\0"  # the tag of its completion


class Cut(StrEnum):
    """Where the next COMMIT is lost."""

    NEVER = "never"
    BEFORE = "before"  # the server never sees it
    AFTER = "after"  # the server has committed, and its answer is lost
    DELAYED = "delayed"  # the client is cut off, and the server gets it once ``deliver`` is called


class TcpProxy:
    """Forwards to ``port`` of this machine; ``cut`` arms one cut, and ``refuse`` refuses new connections."""

    def __init__(self, port: int) -> None:
        self.cut = Cut.NEVER
        self.refuse = False
        self.refuse_after_cut = False
        self.cuts = 0
        self._target = port
        self._delivery = threading.Event()
        self._delivered = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def deliver(self) -> None:
        """Let a delayed COMMIT arrive, and wait until the server has answered it."""
        self._delivery.set()
        assert self._delivered.wait(30), "the delayed COMMIT was never answered"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._delivery.set()
        for one in self._sockets:
            _close(one)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                _close(client)
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            answer_is_lost = threading.Event()
            self._start(self._to_server, client, server, answer_is_lost)
            self._start(self._to_client, server, client, answer_is_lost)

    def _to_server(self, client: socket.socket, server: socket.socket, answer_is_lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                cut = self._take(data)
                if cut is Cut.BEFORE:
                    _close(client)
                    break
                if cut is Cut.DELAYED:
                    answer_is_lost.set()
                    _close(client)
                    self._delivery.wait(60)
                    server.sendall(data)
                    return  # the other direction closes the server's side once it has answered
                if cut is Cut.AFTER:
                    answer_is_lost.set()
                server.sendall(data)
        _close(server)

    def _to_client(self, server: socket.socket, client: socket.socket, answer_is_lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if answer_is_lost.is_set():
                    assert _COMMITTED in data
                    break
                client.sendall(data)
        _close(client)
        _close(server)
        if answer_is_lost.is_set():
            self._delivered.set()

    def _take(self, data: bytes) -> Cut:
        with self._lock:
            if self.cut is Cut.NEVER or _COMMIT not in data:
                return Cut.NEVER
            taken, self.cut = self.cut, Cut.NEVER
            self.cuts += 1
            self.refuse = self.refuse_after_cut
            return taken


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
