"""Asks before what cannot be undone."""

from __future__ import annotations

import sys

import typer
from typer.exceptions import TyperException


class Declined(Exception):
    """The answer was no."""


def ask(question: str) -> None:
    """Returns if the answer is yes. Raises Declined, or TyperException if there is no terminal to ask on."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise TyperException("standard input is not a terminal, so that nobody can be asked: give --yes.")
    if not typer.confirm(question, err=True):
        raise Declined
