"""What systemd and the daemon tell each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from typing import Final

FIRST_FD: Final = 3
"""The first descriptor that is handed over: SD_LISTEN_FDS_START."""


def notify(*lines: str) -> bool:
    """Send ``READY=1``, ``STOPPING=1``, ``STATUS=…`` to the service manager; False if there is none listening."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, path)
        except OSError:
            return False
    return True


def watchdog_s() -> float | None:
    """After how many seconds without ``WATCHDOG=1`` the service manager ends this process; None if it never does."""
    try:
        seconds = int(os.environ.get("WATCHDOG_USEC", "")) / 1e6
        meant = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return seconds if seconds > 0 and meant == os.getpid() else None


def inherited_sockets() -> list[socket.socket]:
    """The sockets that systemd listens on for this process (socket activation), once: a second call finds none.

    Raises OSError if a descriptor is no socket.
    """
    try:
        meant = int(os.environ.get("LISTEN_PID", ""))
        number = int(os.environ.get("LISTEN_FDS", ""))
    except ValueError:
        return []
    if meant != os.getpid():
        return []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    found = []
    for fd in range(FIRST_FD, FIRST_FD + number):
        os.set_inheritable(fd, False)
        found.append(socket.socket(fileno=fd))
        found[-1].setblocking(False)
    return found
