"""Who types a command, as holds and the journal name them."""

from __future__ import annotations

import getpass
import os
from typing import Final

from daemon.storage.faults import printable

_LONGEST: Final = 64


def user_name() -> str:
    """Return the login name; ``uid 54321`` where neither a variable nor a passwd entry names the user.

    A name from the environment can hold anything: it is made one printable line.
    """
    try:
        name = printable(getpass.getuser()).strip()[:_LONGEST]
    except (KeyError, OSError, ImportError):  # one of them, by the version of Python
        name = ""
    return name or f"uid {os.geteuid()}"


def initiator() -> str:
    """Return the initiator of what this command does."""
    return f"cli:{user_name()}"
