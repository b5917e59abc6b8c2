"""Sizes as people read and write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = ("KB", "MB", "GB", "TB", "PB")
_FACTORS = {"B": 1, **{unit: 1000 ** (n + 1) for n, unit in enumerate(_UNITS)}}
_FACTORS |= {unit.replace("B", "iB"): 1024 ** (n + 1) for n, unit in enumerate(_UNITS)}
_EXAMPLES = "write a share such as 5% or a size such as 50GB or 50GiB"


def meant_size(text: str) -> str | None:
    """Return what to write instead of a size with a unit in other letters, such as ``100mb``; None if none is meant."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([kmgtp])(?:i?b)?", text, re.IGNORECASE)
    if match is None:
        return None
    number, unit = match[1], match[2].upper()
    return f"write {number}{unit}B (decimal) or {number}{unit}iB"


@dataclass(frozen=True, slots=True)
class Space:
    """A part of a file system: a share of it in percent, or bytes."""

    percent: float | None
    size_bytes: int | None
    text: str

    @classmethod
    def parse(cls, text: str) -> Space:
        """``5%``, ``50GB`` (decimal) or ``50GiB``. Raises ValueError that says what to write instead."""
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?(%|[KMGTP]i?B|B)", text)
        if match is None:
            raise ValueError(f"not a part of a file system: {_EXAMPLES}")
        number, unit = float(match[1]), match[2]
        if unit != "%":
            return cls(None, int(number * _FACTORS[unit]), text)
        if number > 100:
            raise ValueError(f"more than 100%: {_EXAMPLES}")
        return cls(number, None, text)

    def of(self, total_bytes: int) -> int:
        """The bytes that is of a file system of ``total_bytes``."""
        return self.size_bytes if self.size_bytes is not None else int(total_bytes * (self.percent or 0) / 100)


def format_size(size_bytes: int) -> str:
    """Decimal units, one decimal from KB on: ``999 B``, ``2.5 MB``; 999,950 bytes are ``1.0 MB``."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    value = size_bytes / 1000
    for unit in _UNITS[:-1]:
        if round(value, 1) < 1000:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"
