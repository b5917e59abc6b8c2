"""A real server on a loopback port that answers by a script: for what a well-behaved one never does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

HANG_UP: Final = b""
SILENCE: Final = b"\0silence"


@dataclass
class Request:
    """What one connection sent. Header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """``requests``: those that came, in their order."""

    url: str
    requests: list[Request] = field(default_factory=list)


def answer(status: int, body: object = None, **headers: str) -> bytes:
    """An HTTP answer; a dictionary goes as JSON."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(payload)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + payload


def done(data: object) -> bytes:
    """A success of the API."""
    return answer(200, {"success": True, "code": 200, "message": "done", "data": data})


def refused(status: int, code: str, **headers: str) -> bytes:
    """A refusal of the API."""
    return answer(status, {"success": False, "code": status, "message": "no", "error_code": code}, **headers)


@contextmanager
def scripted(*answers: bytes) -> Iterator[Scripted]:
    """Answer the first connection with the first of ``answers``, and so on; no further one is accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}")
        over = threading.Event()

        def serve() -> None:
            for reply in answers:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    server.requests.append(_read(connection))
                    if reply == SILENCE:
                        over.wait(10)
                    else:
                        connection.sendall(reply)
            listener.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            if len(server.requests) < len(answers):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _read(connection: socket.socket) -> Request:
    stream = connection.makefile("rb")
    line = stream.readline().decode().strip()
    headers: dict[str, str] = {}
    while text := stream.readline().decode().strip():
        name, _, value = text.partition(": ")
        headers[name.lower()] = value
    return Request(line, headers, stream.read(int(headers.get("content-length", 0))))
