"""SIGHUP before the daemon can reload: it is remembered, and does not end the process, as it would by default."""

from __future__ import annotations

import signal

_came = False


def remember() -> None:
    """From now on, in the main thread."""
    signal.signal(signal.SIGHUP, _note)


def came() -> bool:
    """Whether there was one since ``remember``."""
    return _came


def _note(_number: int, _frame: object) -> None:
    global _came
    _came = True
