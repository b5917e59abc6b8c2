"""Where the API listens: TCP, with or without TLS, a Unix socket, or both; or on what systemd hands over instead."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

from daemon import systemd
from daemon.config import Config, ServerConfig
from daemon.errors import StartupRefused
from daemon.storage import sockets
from daemon.web.server import ApiRunner
from daemon.web.tls import LiveTls, server_context
from daemon.webhooks import loopback

_BACKLOG = 1024
_HANDSHAKE_S = 10.0
# For the database, the walks of deletions, the directories that groups of them have in hand, and files.
OTHER_DESCRIPTORS = 512
_FEWEST = 8


def handed_over() -> list[socket.socket]:
    """The sockets that systemd listens on for the daemon: they are served instead of what the configuration names.

    Raises StartupRefused if one is something else: ``Accept=yes``, a datagram socket, another family.
    """
    found = []
    try:
        found = systemd.inherited_sockets()
        for one in found:
            stream = one.type == socket.SOCK_STREAM and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if not stream or one.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
                raise StartupRefused(
                    f"systemd handed over {_shown(one)}, which is no TCP or Unix socket that listens: "
                    "use ListenStream=, and not Accept=yes, in sweepd.socket"
                )
    except OSError as error:
        _close(found)
        raise StartupRefused(f"systemd handed over a descriptor that is no socket: {error.strerror}") from error
    except StartupRefused:
        _close(found)
        raise
    return found


def check_address(config: Config, inherited: Sequence[socket.socket] = ()) -> None:
    """Raises StartupRefused if others could delete without a token, or nobody could reach the API at all.

    ``inherited``: sockets that are served instead of the configured addresses.
    """
    server = config.server
    if not server.tcp and server.socket is None and not inherited:
        raise StartupRefused(f"{config.file}: server.tcp is off, and there is no server.socket: set one of them")
    if server.has_tokens:
        return
    missing = "server.tokens is empty and there is no server.tokens_file"
    for one in inherited:
        if one.family != socket.AF_UNIX and not loopback(one.getsockname()[0].partition("%")[0]):
            raise StartupRefused(
                f"sweepd.socket listens on {_shown(one)}, which can be reached from other machines, and {config.file}: "
                f"{missing}: anybody could delete; set a token, or ListenStream=127.0.0.1:8084"
            )
    if not inherited and not server.is_local:
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
async def listening(
    runner: ApiRunner, server: ServerConfig, inherited: Sequence[socket.socket] = ()
) -> AsyncIterator[tuple[str, LiveTls | None]]:
    """Accept connections; gives the address to show, and what HTTPS is made with.

    ``inherited`` sockets take the place of the configured addresses; those of them that are TCP speak HTTPS if that
    is configured. Raises StartupRefused: certificate, address, socket.
    """
    async with contextlib.AsyncExitStack() as stack:
        shown = []
        tls = None if server.tls is None else LiveTls(await asyncio.to_thread(server_context, server.tls))
        context = None if tls is None else tls.listening
        for one in inherited:
            if one.family == socket.AF_UNIX:
                await web.SockSite(runner, one, backlog=_BACKLOG).start()
                shown.append(_shown(one))
            else:
                await _Tcp(runner, server.host, server.port, context, one).start()
                shown.append(f"http{'s' if tls else ''}://{_shown(one)}")
        if server.tcp and not inherited:
            await _Tcp(runner, server.host, server.port, context).start()
            host, port = runner.addresses[0][:2]
            shown.append(f"http{'s' if tls else ''}://{_in_brackets(host)}:{port}")
        if server.socket is not None and not inherited:
            await stack.enter_async_context(_unix(runner, server))
            shown.append(f"unix:{server.socket}")
        yield shown[0], tls


def _shown(one: socket.socket) -> str:
    name = one.getsockname()
    if one.family == socket.AF_UNIX:
        # One in Linux's abstract name space is bytes, and begins with a NUL.
        return f"unix:{name if isinstance(name, str) else name.replace(bytes(1), b'@', 1).decode(errors='replace')}"
    return f"{_in_brackets(name[0])}:{name[1]}" if isinstance(name, tuple) else f"family {one.family}"


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()


class _Tcp(web.TCPSite):
    """With a bound on the TLS handshake, during which aiohttp knows nothing of a connection."""

    __slots__ = ("_inherited",)

    def __init__(
        self,
        runner: ApiRunner,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        inherited: socket.socket | None = None,
    ) -> None:
        super().__init__(runner, host, port, ssl_context=tls, backlog=_BACKLOG)
        self._inherited = inherited

    async def start(self) -> None:
        self._runner._reg_site(self)
        assert self._runner.server is not None
        inherited = self._inherited
        where: dict[str, Any] = {"host": self._host, "port": self._port} if inherited is None else {"sock": inherited}
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._runner.server,
                **where,
                ssl=self._ssl_context,
                backlog=self._backlog,
                ssl_handshake_timeout=None if self._ssl_context is None else _HANDSHAKE_S,
            )
        except OSError as error:
            self._runner._unreg_site(self)
            place = f"{self._host}:{self._port}" if inherited is None else _shown(inherited)
            message = f"cannot listen on {place}: {error.strerror or error}; set server.port to a free one"
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
