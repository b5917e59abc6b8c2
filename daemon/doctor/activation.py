"""What systemd listens on for the daemon (socket activation), asked of systemd: a connection would start the daemon."""

from __future__ import annotations

import ipaddress
import subprocess
from contextlib import suppress
from typing import Final

SOCKET: Final = "sweepd.socket"
_ANSWER_S: Final = 5.0


def listens_on(host: str, port: int) -> bool:
    """Whether the socket unit is active and has that TCP address. False where there is no systemd to ask."""
    return any(_covers(place, host, port) for place in _places())


def _places() -> list[str]:
    """As systemd shows them: ``127.0.0.1:8084``, ``[::]:8084``, ``/run/sweepd.sock``; none unless it is active."""
    command = ["systemctl", "show", "--property=ActiveState", "--property=Listen", SOCKET]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    lines = said.splitlines()
    if "ActiveState=active" not in lines:
        return []
    return [
        line.removeprefix("Listen=").removesuffix(" (Stream)")
        for line in lines
        if line.startswith("Listen=") and line.endswith(" (Stream)")
    ]


def _covers(place: str, host: str, port: int) -> bool:
    address, _, number = place.rpartition(":")
    if number != str(port):
        return False
    with suppress(ValueError):
        given, wanted = ipaddress.ip_address(address.strip("[]")), ipaddress.ip_address(host)
        return given == wanted or given.is_unspecified or wanted.is_unspecified
    return True  # a name: the port has to do
