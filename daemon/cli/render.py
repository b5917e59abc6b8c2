"""Output: rich on a terminal, plain tab-separated lines otherwise, JSON on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False)
"""Standard output."""

UNLESS: Final = "unless a quota or a full disk needs the room before"
"""What may cut short how long a deletion waits: a policy's ``quota``, and ``trash.min_free``."""


def say(text: str = "", style: str | None = None) -> None:
    """One line of text; ``style`` shows on a terminal only."""
    if console.is_terminal:
        console.print(text, style=style, markup=False)
    else:
        print(text)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """A table; the columns in ``right`` are numbers."""
    if not console.is_terminal:
        print("\t".join(columns))
        for row in rows:
            print("\t".join(cell.replace("\t", " ") for cell in row))
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    console.print(shown)


def dump(data: Any) -> None:
    """JSON on standard output."""
    json.dump(data, sys.stdout, ensure_ascii=False, indent=2, default=str)
    print()
