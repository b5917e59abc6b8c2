"""Structured logs: JSON lines off a terminal, readable lines on one. Events are stable names, values are fields."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from daemon.log_stream import PatientStream

Format = Literal["auto", "json", "console"]
Listener = Callable[[str, Mapping[str, Any]], None]
"""Gets the level (info, warning, error, exception, …) and the fields of an event, ``event`` being its name."""

_listeners: list[Listener] = []


def configure(level: str, form: Format, stream: TextIO | None = None) -> None:
    """Send sweepd's and its libraries' logs to ``stream`` (standard error) from ``level`` (debug … error) on.

    Where that is a descriptor, no log line ever blocks anybody (``log_stream``).
    """
    stream = stream or sys.stderr
    as_json = form == "json" or (form == "auto" and not stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            _tell,
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_patient(stream))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their INFO lines are the libraries' own business: every request, every scheduled job, every migration context.
    for name in ("aiohttp.access", "apscheduler", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def on_dropped(call: Callable[[], None]) -> None:
    """Have every log line counted that nobody will ever read."""
    for stream in _patient_ones():
        stream.dropped = call


def drain(seconds: float) -> None:
    """Before the end of the process: wait for the lines that have not been written yet, at most so long."""
    for stream in _patient_ones():
        stream.drain(seconds)


def _patient(stream: TextIO) -> TextIO | PatientStream:
    try:
        made = PatientStream(stream.fileno())
    except (OSError, ValueError):  # a stream in memory
        return stream
    made.resumed = _tell_dropped
    return made


def _tell_dropped(lines: int) -> None:
    _log = get(__name__)
    _log.warning("log_lines_dropped", lines=lines)


def _patient_ones() -> list[PatientStream]:
    found = (getattr(handler, "stream", None) for handler in logging.getLogger().handlers)
    return [stream for stream in found if isinstance(stream, PatientStream)]


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Every event goes to ``listener`` too, whatever the level that is logged, on the thread it happens on."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _tell(_logger: WrappedLogger, level: str, event: EventDict) -> EventDict:
    for listener in _listeners:
        listener(level, event)
    return event
