"""Values that YAML has no type for."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from daemon.durations import Duration, format_duration, parse_duration
from daemon.sizes import Space, meant_size
from daemon.strict_yaml import kind

__all__ = ["Duration", "Size", "format_duration", "parse_duration", "parse_size"]

# What the databases count with; 8192PiB.
_MOST = 2**63
_SIZES = "write a number and a unit, such as 500MB, 20GB (decimal) or 20GiB"


def parse_size(text: str) -> int:
    """``500GB`` (decimal) or ``500GiB`` in bytes.

    Raises `ValueError` for anything else, a bare number included, and for 8192PiB or more.
    """
    if re.fullmatch(r"[+-]?[0-9.]+", text):
        raise ValueError(f"a size needs a unit: {_SIZES}")
    try:
        space = Space.parse(text)
    except ValueError:
        raise ValueError(f"not a size: {meant_size(text) or _SIZES}") from None
    if space.size_bytes is None:
        raise ValueError(f"a share is not a size: {_SIZES}")
    if space.size_bytes >= _MOST:
        raise ValueError("a size has to be less than 8192PiB, which no directory reaches: lower it, or remove it")
    return space.size_bytes


def _size(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return parse_size(str(value))
    if not isinstance(value, str):
        raise ValueError(f"expected a size, got {kind(value)}: {_SIZES}")
    return parse_size(value)


Size: TypeAlias = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(lambda size_bytes: f"{size_bytes}B", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([KMGTP]i?B|B)$"}),
]
