"""Asks before what cannot be undone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import typer

from daemon.storage.faults import printable

_NAMED: Final = 3


class Declined(Exception):
    """The answer was no."""


def few(names: Sequence[str]) -> str:
    """The first of them, and how many there are."""
    more = len(names) - _NAMED
    return ", ".join(map(printable, names[:_NAMED])) + (f" and {more} more ({len(names)} in all)" if more > 0 else "")


def ask(question: str) -> None:
    """Returns if the answer is yes. Raises Declined, or typer.BadParameter if there is no terminal to ask on."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise typer.BadParameter("standard input is not a terminal, so that nobody can be asked: give --yes")
    if not typer.confirm(question, err=True):
        raise Declined
