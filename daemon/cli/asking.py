"""Asks before what cannot be undone."""

from __future__ import annotations

import sys

import typer


class Declined(Exception):
    """The answer was no."""


def ask(question: str) -> None:
    """Returns if the answer is yes. Raises Declined, or typer.BadParameter if there is no terminal to ask on."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise typer.BadParameter("standard input is not a terminal, so that nobody can be asked: give --yes")
    if not typer.confirm(question, err=True):
        raise Declined
