"""What was measured: a table for people, JSON for everything else."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value; ``target`` is the most it may be (the least, if ``at_least``)."""

    section: str
    what: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass
class Report:
    """All figures of one run."""

    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """Keep it, and show it."""
        self.figures.append(figure)
        print(self._line(figure), flush=True)

    def table(self) -> str:
        """Markdown."""
        head = ["| section | what | measured | target | met |", "|---|---|---|---|---|"]
        return "\n".join([*head, *(self._line(figure) for figure in self.figures)])

    def write(self, path: Path, options: dict[str, Any]) -> None:
        """Write the JSON file."""
        machine = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        figures = [{**asdict(figure), "met": figure.met} for figure in self.figures]
        content = {"machine": machine, "options": options, "figures": figures}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _line(self, figure: Figure) -> str:
        sign = ">=" if figure.at_least else "<="
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        met = {None: "", True: "yes", False: "**no**"}[figure.met]
        return f"| {figure.section} | {figure.what} | {figure.value:.3g} {figure.unit} | {target} | {met} |"
