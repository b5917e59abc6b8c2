"""Dates of the command line: what people write and read is local time, what the API takes and gives is UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from daemon.catalog.instants import parse_instant
from daemon.text import in_local_time


def read_instant(text: str | None, option: str) -> datetime | None:
    """Return the instant (aware) that an option names; without an offset it is local time.

    Raises typer.BadParameter that says what to write.
    """
    if text is None:
        return None
    try:
        return parse_instant(text, None)
    except (ValueError, OverflowError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def for_api(at: datetime | None) -> str | None:
    """Return an instant as the API takes it."""
    return None if at is None else at.astimezone(UTC).isoformat()


def stamp(text: str | None) -> str:
    """Return a time of the API's for people. One without an offset is UTC."""
    if not text:
        return "-"
    at = datetime.fromisoformat(text)
    return in_local_time(at if at.tzinfo else at.replace(tzinfo=UTC))
