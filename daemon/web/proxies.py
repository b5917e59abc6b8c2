"""Who sent a request: the client itself, or one that a trusted proxy names. What others name means nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from aiohttp import web

UNIX: Final = "unix"
_CREDENTIALS: Final = struct.Struct("3i")  # unix(7): process, user, group
Address = IPv4Address | IPv6Address


class Proxies:
    """``trusted``: addresses, networks, and ``unix`` for whoever connects to the Unix socket."""

    def __init__(self, trusted: Iterable[str]) -> None:
        named = set(trusted)
        self._unix = UNIX in named
        self._networks = tuple(ip_network(name) for name in named - {UNIX})

    def client(self, request: web.BaseRequest) -> str:
        """The client's address; of the Unix socket's, ``unix:`` and its user's number."""
        nearest = peer(request)
        if not self.trusts(nearest):
            return nearest
        # From the nearest on: each proxy appends whom it heard from, and only what a trusted one says counts.
        said = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        for text in reversed(said):
            address = _parse(text)
            if address is None:
                break
            nearest = str(address)
            if not self._knows(address):
                break
        return nearest

    def hosts(self, request: web.BaseRequest) -> list[str]:
        """The names that clients of a trusted proxy asked for."""
        if not self.trusts(peer(request)):
            return []
        said = request.headers.getall("X-Forwarded-Host", ())
        return [name.strip() for text in said for name in text.split(",")]

    def trusts(self, nearest: str) -> bool:
        """Whether this peer is one of the proxies."""
        if nearest.partition(":")[0] == UNIX:
            return self._unix
        address = _parse(nearest)
        return address is not None and self._knows(address)

    def _knows(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def peer(request: web.BaseRequest) -> str:
    """Who is at the other end of the connection."""
    if request.remote:
        address = _parse(request.remote)
        return request.remote if address is None else str(address)
    connection = request.transport and request.transport.get_extra_info("socket")
    if not connection or connection.family != socket.AF_UNIX:
        return "unknown"
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return f"{UNIX}:{user}"


@lru_cache(maxsize=128)
def _parse(text: str) -> Address | None:
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:  # an IPv4 address with its port
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
