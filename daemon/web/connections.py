"""How many clients may be connected, and how long each may take: slow ones starve nobody."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Protocol

# Some are closed at a time, so that a flood does not cost a search for each of its connections.
_SHARE = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """``connections`` at the same time; ``head_s`` for a request's head, ``write_s`` for taking an answer."""

    connections: int = 3000
    head_s: float = 10.0
    write_s: float = 30.0


class Connection(Protocol):
    """What is counted."""

    group: str
    since: float

    def waits_for_client(self) -> bool:
        """Whether nothing is lost with it but what its client has not sent yet, or not taken."""
        ...

    def abort(self, reason: str) -> None:
        """End it at once."""
        ...


class Connections:
    """All that are open. When there are too many, those go that have waited for their client the longest.

    They are taken from the address that has the most of them. Used on the event loop alone.
    """

    def __init__(self, limits: Limits, closed: Callable[[str], None] = lambda _reason: None) -> None:
        self.limits = limits
        self.closed = closed
        self._groups: dict[str, set[Connection]] = {}
        self.number = 0

    def add(self, connection: Connection) -> None:
        """Count it; somebody has to go if there are too many, and it has to itself if all the others are at work."""
        self._groups.setdefault(connection.group, set()).add(connection)
        self.number += 1
        if self.number > self.limits.connections:
            self._make_room(connection)

    def discard(self, connection: Connection) -> None:
        """It is closed."""
        members = self._groups.get(connection.group, set())
        if connection in members:
            members.remove(connection)
            self.number -= 1
            if not members:
                del self._groups[connection.group]

    def _make_room(self, new: Connection) -> None:
        for members in sorted(self._groups.values(), key=len, reverse=True):
            waiting = [one for one in members if one is not new and one.waits_for_client()]
            if waiting:
                number = max(1, self.limits.connections // _SHARE)
                for connection in heapq.nsmallest(number, waiting, key=lambda one: one.since):
                    self._end(connection, "too_many")
                return
        self._end(new, "all_busy")

    def _end(self, connection: Connection, reason: str) -> None:
        self.discard(connection)
        connection.abort(reason)


def group_of(peer: object) -> str:
    """Connections of one address count together; of IPv6, of one /64, which is what one customer gets."""
    host = str(peer[0]) if isinstance(peer, tuple) else "unix"
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return address.exploded[:19] if isinstance(address, IPv6Address) and not address.ipv4_mapped else str(address)
