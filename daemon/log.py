"""Structured logs: JSON lines off a terminal, readable lines on one. Events are stable names, values are fields.

Whatever a value holds, it stays within its line: JSON escapes all that is not ASCII, and on a terminal what is not
printable is shown escaped. For systemd's journal each line begins with its priority, as sd-daemon(3) has it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO, cast

from daemon.log_stream import PatientStream

# structlog loads rich where it is installed, for a kind of traceback that is not used here: 3 MB of every daemon, and
# 40 ms of every command's start. A None here stops an import.
_rich = cast(dict[str, Any], sys.modules).setdefault("rich", None)

import structlog  # noqa: E402
from structlog.typing import EventDict, Processor, WrappedLogger  # noqa: E402

if _rich is None:
    del sys.modules["rich"]

Format = Literal["auto", "json", "console"]
Listener = Callable[[str, Mapping[str, Any]], None]
"""Gets the level (info, warning, error, exception, …) and the fields of an event, ``event`` being its name."""

_listeners: list[Listener] = []
_DEBUG = 7
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


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
    rendering: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if as_json
        else [_escape, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    )
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
    formatter = _ForJournal if _is_journal(stream) else structlog.stdlib.ProcessorFormatter
    handler.setFormatter(
        formatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their INFO lines are the libraries' own business: every request, every scheduled job, every migration context.
    for name in ("aiohttp.access", "apscheduler", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs whole addresses, and those of webhooks may be secrets: what went wrong is told in own words.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)


def on_dropped(call: Callable[[], None]) -> None:
    """Have every log line counted that nobody will ever read."""
    for stream in _patient_ones():
        stream.dropped = call


def drain(seconds: float) -> None:
    """Before the end of the process: wait for the lines that have not been written yet, at most so long."""
    for stream in _patient_ones():
        stream.drain(seconds)


class _ForJournal(structlog.stdlib.ProcessorFormatter):
    """With the priority of syslog(3) before each line: the journal takes it off, and knows how bad it is."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


def _is_journal(stream: TextIO) -> bool:
    """systemd.exec(5): JOURNAL_STREAM is device and inode of the stream that leads to the journal."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream in memory
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _escape(_logger: WrappedLogger, _level: str, event: EventDict) -> EventDict:
    """What is not printable, escaped: it could be taken for another line, or move the cursor and hide one."""
    return {
        _in_one_line(name): _in_lines(value) if name in ("exception", "stack") else _shown(value)
        for name, value in event.items()
    }


def _shown(value: Any) -> Any:
    # of anything else the renderer shows the repr, which is one printable line
    return _in_one_line(value) if isinstance(value, str) else value


def _in_lines(traceback: Any) -> str:
    """A traceback has lines; none of them begins like one of the log."""
    return "\n".join(f"  {_in_one_line(line)}" for line in str(traceback).split("\n"))


def _in_one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


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
def bound(*, anew: bool = False, **fields: str) -> Iterator[None]:
    """Every line of this thread or task has these fields meanwhile; ``anew``: and no longer those of before."""
    if anew:
        structlog.contextvars.clear_contextvars()
    with structlog.contextvars.bound_contextvars(**fields):
        yield


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
