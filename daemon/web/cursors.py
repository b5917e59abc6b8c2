"""Cursors: the place where a page ended, as URL-safe text that means nothing to a client."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Final

_MOST: Final = 2000  # characters


def encode(place: Sequence[str | int | None]) -> str:
    """The cursor of a place."""
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii").rstrip("=")


def decode(cursor: str) -> list[str | int | None]:
    """The place of a cursor. Raises ValueError if it is none."""
    if not cursor.isascii() or len(cursor) > _MOST:
        raise ValueError("not a cursor")
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = json.loads(raw.decode("utf-8"))
        json.dumps(place, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is text to nobody
    except (ValueError, RecursionError) as error:
        raise ValueError("not a cursor") from error
    if not isinstance(place, list) or not all(_plain(part) for part in place):
        raise ValueError("not a cursor")
    return place


def _plain(part: object) -> bool:
    """Nothing that a database would choke on."""
    if isinstance(part, str):
        return "\0" not in part
    return part is None or (type(part) is int and abs(part) < 2**63)
