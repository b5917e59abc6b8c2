"""What a section of the benchmark reports, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Options:
    """``folder``: where trees are built. ``pairs``: runs of each method. ``scale``: size of the trees, 1 is full."""

    folder: Path
    pairs: int
    scale: float

    def scaled(self, number: int) -> int:
        """``number`` at this scale, at least one."""
        return max(1, round(number * self.scale))


@dataclass(frozen=True, slots=True)
class Figure:
    """One median. ``at_most`` is its target, None if there is none; ``low`` and ``high`` are the extremes."""

    section: str
    name: str
    what: str
    value: float
    unit: str
    at_most: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.at_most is None else self.value <= self.at_most

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "met": self.met}


Section: TypeAlias = Callable[[Options], Iterator[Figure]]
"""Measures something and yields its figures as they come. Raises OSError."""
