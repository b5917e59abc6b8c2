"""Dates that people type: local time of their terminal, unless they name an offset."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from daemon.catalog.instants import parse_instant


def read_instant(text: str, option: str) -> datetime:
    """The instant that ``option`` names, aware. Raises typer.BadParameter that says what to write."""
    try:
        found = parse_instant(text, UTC)
    except ValueError as error:
        message = str(error).replace(f"(wall time of {UTC})", "(local time)")
        raise typer.BadParameter(message, param_hint=option) from None
    named = datetime.fromisoformat(text).tzinfo is not None
    return found if named else found.replace(tzinfo=None).astimezone()
