"""Where the API listens: TCP, with or without TLS, a Unix socket, or both."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from daemon.config import Config, ServerConfig
from daemon.errors import StartupRefused
from daemon.storage import sockets
from daemon.web.server import ApiRunner
from daemon.web.tls import LiveTls, server_context

_BACKLOG = 1024
_HANDSHAKE_S = 10.0
# For the database, the walks of deletions, and files.
OTHER_DESCRIPTORS = 256
_FEWEST = 8


def check_address(config: Config) -> None:
    """Raises StartupRefused if others could delete without a token, or nobody could reach the API at all."""
    server = config.server
    if not server.tcp and server.socket is None:
        raise StartupRefused(f"{config.file}: server.tcp is off, and there is no server.socket: set one of them")
    if server.has_tokens:
        return
    missing = "server.tokens is empty and there is no server.tokens_file"
    if not server.is_local:
        raise StartupRefused(
            f"{config.file}: server.host {server.host} can be reached from other machines, and {missing}: "
            "anybody could delete; set a token, or listen on 127.0.0.1"
        )
    if server.trusted_proxies:
        raise StartupRefused(
            f"{config.file}: a proxy lets other machines in (server.trusted_proxies), and {missing}: "
            "anybody could delete; set a token"
        )


def most_connections(server: ServerConfig) -> int:
    """As configured, as far as this process may open so many."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = server.max_connections if soft == resource.RLIM_INFINITY else soft - OTHER_DESCRIPTORS
    return max(_FEWEST, min(server.max_connections, room))


@contextlib.asynccontextmanager
async def listening(runner: ApiRunner, server: ServerConfig) -> AsyncIterator[tuple[str, LiveTls | None]]:
    """Accept connections; gives the address to show, and what HTTPS is made with.

    Raises StartupRefused: certificate, address, socket.
    """
    async with contextlib.AsyncExitStack() as stack:
        shown = []
        tls = None if server.tls is None else LiveTls(await asyncio.to_thread(server_context, server.tls))
        if server.tcp:
            await _Tcp(runner, server.host, server.port, None if tls is None else tls.listening).start()
            host, port = runner.addresses[0][:2]
            shown.append(f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}")
        if server.socket is not None:
            await stack.enter_async_context(_unix(runner, server))
            shown.append(f"unix:{server.socket}")
        yield shown[0], tls


class _Tcp(web.TCPSite):
    """With a bound on the TLS handshake, during which aiohttp knows nothing of a connection."""

    __slots__ = ()

    def __init__(self, runner: ApiRunner, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(runner, host, port, ssl_context=tls, backlog=_BACKLOG)

    async def start(self) -> None:
        self._runner._reg_site(self)
        assert self._runner.server is not None
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._runner.server,
                self._host,
                self._port,
                ssl=self._ssl_context,
                backlog=self._backlog,
                ssl_handshake_timeout=None if self._ssl_context is None else _HANDSHAKE_S,
            )
        except OSError as error:
            self._runner._unreg_site(self)
            where = f"{self._host}:{self._port}"
            message = f"cannot listen on {where}: {error.strerror or error}; set server.port to a free one"
            raise StartupRefused(message) from error


@contextlib.asynccontextmanager
async def _unix(runner: ApiRunner, server: ServerConfig) -> AsyncIterator[None]:
    path = server.socket
    assert path is not None
    try:
        bound: socket.socket = await asyncio.to_thread(sockets.bind, path)
        inode = await asyncio.to_thread(sockets.inode_of, path)
    except (sockets.SocketTaken, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartupRefused(f"cannot listen on server.socket {path}: {reason}") from error
    try:
        await web.SockSite(runner, bound, backlog=_BACKLOG).start()
        yield
    finally:
        await asyncio.to_thread(sockets.unbind, path, inode)
