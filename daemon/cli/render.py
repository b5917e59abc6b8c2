"""Output: columns on a terminal, tab-separated lines otherwise, JSON on request. All text is escaped here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from daemon.moments import in_local_time
from daemon.visible import field, in_json, visible

console = Console(highlight=False)
"""Standard output."""

UNLESS: Final = "unless a quota or a full disk needs the room before"
"""What may cut short how long a deletion waits: a policy's ``quota``, and ``trash.min_free``."""

PROSE: Final = frozenset({"because", "reason", "why", "name", "description", "not counted because", "requires", "has"})
"""The columns that may be wrapped. All others hold ids, dates and numbers, which are never cut."""

_NARROWEST: Final = 24
_GAP: Final = 2
_INDENT: Final = 2


def say(text: str = "", style: str | None = None) -> None:
    """One line of text; ``style`` shows on a terminal only. The terminal wraps it, so that it is copied whole."""
    if console.is_terminal:
        console.print(visible(text), style=style, markup=False, soft_wrap=True)
    else:
        print(visible(text))


def say_message(text: str, style: str | None = None) -> None:
    """One line that may name instants, as errors do: they are shown in local time."""
    say(in_local_time(text), style)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """A table; the columns in ``right`` are numbers. What does not fit beside each other goes below each other."""
    if not console.is_terminal:
        print("\t".join(columns))
        for row in rows:
            print("\t".join(map(field, row)))
        return
    cells = [[visible(cell) for cell in row] for row in rows]
    bands = _bands(columns, cells, console.width)
    for number, row in enumerate([list(columns), *cells]):
        for line in _lines(row, columns, bands, right):
            console.print(Text(line, style="" if number else "bold"), soft_wrap=True)


def dump(data: Any) -> None:
    """JSON on standard output."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    print(in_json(json.dumps(data, ensure_ascii=plain, indent=2, default=str)))


_Band = list[tuple[int, int]]  # columns, each with its width


def _bands(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[_Band]:
    """Put the columns beside each other in as few lines as ``width`` has room for."""
    natural = [max(cell_len(cell) for cell in (name, *(row[n] for row in rows))) for n, name in enumerate(columns)]
    least = [
        min(natural[n], max(_NARROWEST, cell_len(name))) if name in PROSE else natural[n]
        for n, name in enumerate(columns)
    ]
    bands: list[list[int]] = [[]]
    for n in range(len(columns)):
        here = bands[-1]
        indent = _INDENT if len(bands) > 1 else 0
        if here and indent + sum(least[m] + _GAP for m in here) + least[n] > width:
            bands.append([])
        bands[-1].append(n)
    return [_shared(band, natural, least, width - (_INDENT if k else 0)) for k, band in enumerate(bands)]


def _shared(band: Sequence[int], natural: Sequence[int], least: Sequence[int], width: int) -> _Band:
    """Give what room is left to the columns that want more."""
    left = max(0, width - sum(least[n] for n in band) - _GAP * (len(band) - 1))
    widths = []
    for n in band:
        more = min(left, natural[n] - least[n])
        left -= more
        widths.append((n, least[n] + more))
    return widths


def _lines(row: Sequence[str], columns: Sequence[str], bands: Sequence[_Band], right: frozenset[str]) -> Iterator[str]:
    for number, band in enumerate(bands):
        indent = " " * _INDENT if number else ""
        wrapped = [_wrap(row[n], width) if columns[n] in PROSE else [row[n]] for n, width in band]
        for depth in range(max(map(len, wrapped))):
            parts = []
            for (n, width), cell in zip(band, wrapped, strict=True):
                text = cell[depth] if depth < len(cell) else ""
                space = " " * max(0, width - cell_len(text))
                parts.append(space + text if columns[n] in right else text + space)
            yield (indent + (" " * _GAP).join(parts)).rstrip()


def _wrap(text: str, width: int) -> list[str]:
    """Break between words. A word of ASCII, which may be an id, is never broken; one of wide characters may be."""
    lines = [""]
    for word in text.split(" "):
        whole = cell_len(word) <= width or word.isascii()
        for number, piece in enumerate([word] if whole else chop_cells(word, width)):
            joined = f"{lines[-1]} {piece}" if lines[-1] and not number else piece
            if not number and lines[-1] and cell_len(joined) <= width:
                lines[-1] = joined
            elif lines == [""]:
                lines = [piece]
            else:
                lines.append(piece)
    return lines
