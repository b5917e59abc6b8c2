"""The log as the daemon has it, in a test's own process, for as long as the test wants it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from daemon import log


@contextmanager
def logged(level: str = "debug", form: log.Format = "json") -> Iterator[io.StringIO]:
    """What is logged meanwhile."""
    stream, root = io.StringIO(), logging.getLogger()
    before = list(root.handlers), root.level
    log.configure(level, form, stream)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = before[0], before[1]
