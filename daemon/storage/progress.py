"""Placeholder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Progress:
    files_total: int = 0
    bytes_total: int = 0
    files_done: int = 0
    bytes_done: int = 0
    files_per_second: float = 0
    remaining_s: float | None = None
