"""Output: tables on a terminal, plain tab-separated lines otherwise, JSON on request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from daemon.text import escaped, is_shown

console = Console(highlight=False)
"""Standard output."""

UNLESS: Final = "unless a quota or a full disk needs the room before"
"""What may cut short how long a deletion waits: a policy's ``quota``, and ``trash.min_free``."""

_GAP: Final = 2
# A column that is no wider stays on one line: a time, a size, a status.
_SHORT: Final = 24
_TSV: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def say(text: str = "", style: str | None = None) -> None:
    """Print one line of text; ``style`` shows on a terminal only."""
    text = escaped(text)
    if console.is_terminal:
        console.print(text, style=style, markup=False, soft_wrap=True)
    else:
        print(text)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    r"""Print a table; the columns in ``right`` are numbers.

    On a terminal a cell breaks at its spaces only, so an id can be copied whole. Where the columns do not fit beside
    each other, each row takes several lines. Elsewhere the cells are separated by tabs; in a cell ``\\``, tabs and line
    ends are written as ``\\\\``, ``\\t`` and ``\\n``.
    """
    if not console.is_terminal:
        print("\t".join(columns))
        for row in rows:
            print("\t".join(escaped(cell.translate(_TSV)) for cell in row))
        return
    cells = [[escaped(cell) for cell in row] for row in rows]
    widths = _widths(columns, cells, console.width)
    if widths is None:
        _print_stacked(columns, cells)
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold", width=width)
    for line in cells:
        shown.add_row(*(escape(cell) for cell in line))
    console.print(shown)


def dump(data: Any) -> None:
    """Print JSON; a character that a terminal does not show as itself is escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=2, default=_plain)
    print("".join(char if char == "\n" or is_shown(char) else json.dumps(char)[1:-1] for char in text))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> list[int] | None:
    """Return how wide each column is, so that no word is broken; None if they do not fit in ``most``."""
    widths, wanted = [], []
    for column, *cells in zip(columns, *rows, strict=True):
        full = max(cell_len(text) for text in (column, *cells))
        words = (cell_len(word) for text in (column, *cells) for word in re.split(" +", text))
        widths.append(full if full <= _SHORT else max(words))
        wanted.append(full)
    left = most - sum(widths) - _GAP * (len(widths) - 1)
    if left < 0:
        return None
    for place in sorted(range(len(widths)), key=lambda place: wanted[place]):
        more = min(wanted[place] - widths[place], left)
        widths[place] += more
        left -= more
    return widths


def _print_stacked(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print each row as a line with its first cell, and below it the others, each after the name of its column."""
    console.print(columns[0], style="bold", soft_wrap=True)
    for first, *rest in rows:
        console.print(first, markup=False, soft_wrap=True)
        line = ""
        for column, cell in zip(columns[1:], rest, strict=True):
            part = f"{column}: {cell}"
            if line and cell_len(line) + cell_len(part) + 3 > console.width:
                console.print(f"  {line}", markup=False, soft_wrap=True)
                line = ""
            line = f"{line}   {part}" if line else part
        if line:
            console.print(f"  {line}", markup=False, soft_wrap=True)
