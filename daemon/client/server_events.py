"""Server-sent events, as far as the API uses them: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """``kind``: progress, task or end. ``id``: what to resume after; None if the event has none."""

    kind: str
    data: dict[str, Any]
    id: str | None = None


def parse(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events in a stream that is cut anywhere; comments are passed over. Raises ValueError if one is not JSON."""
    kind, number, data = "message", None, []
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "id":
            number = value
        elif name == "data":
            data.append(value)
        elif not line:
            if data:
                yield Event(kind, json.loads("\n".join(data)), number)
            kind, number, data = "message", None, []


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8")
