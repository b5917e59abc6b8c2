"""Sizes as people read them."""

from __future__ import annotations

_UNITS = ("KB", "MB", "GB", "TB", "PB")


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
