"""Which names the API answers to. A page that rebinds its own name to this machine's address gets no further."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{0,5})?", re.ASCII)
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<authority>[^/?#]*).*", re.ASCII | re.DOTALL)
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")


class HostRule:
    """The allow-list: this machine's own names, the address listened on, and what the configuration adds."""

    def __init__(self, listening: str, allowed: Iterable[str]) -> None:
        names = [*_ALWAYS, *allowed]
        if not _is_wildcard(listening):
            names.append(listening)
        self._allowed = frozenset(_plain(name) for name in names)

    def allows(self, hosts: Iterable[str], target: str) -> bool:
        """Whether a request may pass. ``hosts``: its Host headers, of which there has to be exactly one.

        ``target`` is the request target as it was sent: its authority, if it has one, counts as well.
        """
        given = list(hosts)
        return len(given) == 1 and self._knows(given[0]) and self._target(target)

    def _target(self, target: str) -> bool:
        if target.startswith("/") or target == "*":
            return True
        absolute = _ABSOLUTE.fullmatch(target)
        return absolute is not None and self._knows(absolute["authority"])

    def _knows(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        return found is not None and _plain(found["name"]) in self._allowed


def _plain(name: str) -> str:
    """One spelling for each host: lower case, no port, addresses in their short form and without brackets."""
    bare = name.strip().lower()
    found = _HOST.fullmatch(bare)
    bare = (found["name"] if found else bare).strip("[]")
    try:
        return str(ip_address(bare))
    except ValueError:
        return bare


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False
