"""A real receiver of webhooks on a loopback port, which can be made to misbehave. It checks every signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import support

SECRET: Final = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
CERTIFICATE, KEY = (Path(support.__file__).parent / "tls" / f"{name}.pem" for name in ("certificate", "key"))
HANG: Final = "hang"
RESET: Final = "reset"
_PATIENCE_S: Final = 20.0


@dataclass(frozen=True)
class Delivery:
    """One request. ``genuine``: whether its signature is that of SECRET."""

    message_id: str
    path: str
    headers: dict[str, str]
    body: bytes
    genuine: bool

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """``answer``: the status, HANG or RESET, or a header to send with a status; may be changed at any time."""

    url: str = ""
    answer: str | int | tuple[int, dict[str, str]] = 200
    deliveries: list[Delivery] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def wait(self, done: Callable[[], object], what: str = "") -> None:
        """Until ``done``; fails if that takes too long."""
        end = time.monotonic() + _PATIENCE_S
        while not done():
            assert time.monotonic() < end, f"{what}: {[one.document for one in self.deliveries]}"
            time.sleep(0.02)

    def messages(self) -> dict[str, Delivery]:
        """Each message once, as a receiver that goes by the ids has it."""
        return {one.message_id: one for one in self.deliveries}

    def items(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What was told, each message once."""
        found = [item for one in self.messages().values() for item in one.document["data"].get("items", [])]
        return [item for item in found if kind in (None, item["type"])]

    def announced(self) -> list[str]:
        """The tasks that were announced, by the messages that came."""
        return [task["task_id"] for item in self.items("tasks.due") for task in item["details"]["tasks"]]


def is_genuine(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As docs/reference/notifications.md has it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(hmac.compare_digest(wanted, given) for given in headers["webhook-signature"].split())


@contextmanager
def receiving(*, tls: bool = False) -> Iterator[Receiver]:
    """One that takes everything, until it is told otherwise."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            genuine = "webhook-signature" in headers and is_genuine(SECRET, headers, body)
            answer = receiver.answer
            receiver.deliveries.append(Delivery(headers["webhook-id"], self.path, headers, body, genuine))
            if answer == HANG:
                receiver.over.wait(_PATIENCE_S)
            elif answer == RESET:  # a reset rather than an end: linger for no time
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                status, extra = answer if isinstance(answer, tuple) else (int(answer), {})
                self.send_response(status)
                for name, value in {"Content-Length": "0", **extra}.items():
                    self.send_header(name, value)
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            del request, client_address  # those who hang up are meant to

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
