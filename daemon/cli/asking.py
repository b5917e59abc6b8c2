"""Asks before what cannot be undone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import typer

from daemon.storage.faults import printable

_NAMED: Final = 3
"""So many names fit into a question; more are listed before it."""


class Declined(Exception):
    """The answer was no."""


def few(names: Sequence[str]) -> str:
    """Name them in a question, or say how many they are, if ``ask`` lists them before."""
    return ", ".join(map(printable, names)) if len(names) <= _NAMED else f"these {len(names)}"


def ask(question: str, names: Sequence[str] = ()) -> None:
    """Return if the answer is yes; ``names`` that are too many for a question are listed before it, all of them.

    Raises Declined, or typer.BadParameter if there is no terminal to ask on.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise typer.BadParameter("standard input is not a terminal, so that nobody can be asked: give --yes")
    if len(names) > _NAMED:
        typer.echo("\n".join(f"  {printable(name)}" for name in names), err=True)
    if not typer.confirm(question, err=True):
        raise Declined
