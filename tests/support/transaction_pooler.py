"""A pooler as PgBouncer is with ``pool_mode = transaction``: clients share the server's connections.

It knows as much of the protocol as psycopg2 uses: simple queries, and no password.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

_NO_TLS = {80877103, 80877104}  # SSLRequest, GSSENCRequest


class _Stream:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._reader = connection.makefile("rb")

    def take(self, number: int) -> bytes:
        data = self._reader.read(number)
        if len(data) < number:
            raise EOFError
        return data

    def message(self) -> tuple[bytes, bytes]:
        """The kind, and all of it."""
        head = self.take(5)
        return head[:1], head + self.take(struct.unpack("!I", head[1:])[0] - 4)

    def until_ready(self) -> tuple[bytes, bytes]:
        """Everything up to ReadyForQuery, and whether a transaction is open: I for none."""
        said = b""
        while True:
            kind, message = self.message()
            said += message
            if kind == b"Z":
                return said, message[-1:]


class TransactionPooler:
    """Listens while it is entered; ``url`` leads through it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._idle: list[_Stream] = []
        self._greeting = b""
        self.url = urlunsplit(
            self._parts._replace(netloc=f"{self._parts.username}@127.0.0.1:{self._listener.getsockname()[1]}")
        )

    def close(self) -> None:
        self._listener.close()
        for server in self._idle:
            server.connection.close()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._client, args=(_Stream(connection),), daemon=True).start()

    def _client(self, client: _Stream) -> None:
        server: _Stream | None = None
        with contextlib.suppress(EOFError, OSError):
            while True:
                length, code = struct.unpack("!II", client.take(8))
                if code not in _NO_TLS:
                    break
                client.connection.sendall(b"N")
            client.take(length - 8)
            self._idle.append(self._server())
            client.connection.sendall(self._greeting)
            while True:
                kind, message = client.message()
                if kind == b"X":
                    break
                server = server or (self._idle.pop() if self._idle else self._server())
                server.connection.sendall(message)
                said, open_ = server.until_ready()
                if open_ == b"I":  # before the client knows, and another asks
                    self._idle.append(server)
                    server = None
                client.connection.sendall(said)
        client.connection.close()
        if server is not None:
            server.connection.close()

    def _server(self) -> _Stream:
        server = _Stream(socket.create_connection((self._parts.hostname or "", self._parts.port or 5432)))
        wanted = {"user": self._parts.username or "", "database": self._parts.path[1:]}
        text = b"".join(f"{name}\0{value}\0".encode() for name, value in wanted.items()) + b"\0"
        server.connection.sendall(struct.pack("!II", len(text) + 8, 196608) + text)
        self._greeting, _ = server.until_ready()
        return server


@contextlib.contextmanager
def pooling(url: str) -> Iterator[TransactionPooler]:
    """A pooler before the server of ``url``."""
    pooler = TransactionPooler(url)
    threading.Thread(target=pooler.serve, daemon=True).start()
    try:
        yield pooler
    finally:
        pooler.close()
