"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from daemon.client.transport import Query, Transport


def entries(transport: Transport, path: str, name: str, query: Query) -> Iterator[dict[str, Any]]:
    """Every entry of ``data[name]``, page by page as they are needed. Raises ClientError on the way.

    By cursor, so that nothing is missed or met twice while the list changes; by offset where the daemon knows none.
    """
    wanted: dict[str, Any] = dict(query)
    seen = 0
    while True:
        data = transport.get(path, wanted)["data"]
        page = data[name]
        yield from page
        seen += len(page)
        onward = _next(data, seen, bool(page))
        if onward is None:
            return
        wanted = {**{key: value for key, value in wanted.items() if key not in ("cursor", "offset")}, **onward}


def _next(data: Mapping[str, Any], seen: int, more: bool) -> Mapping[str, Any] | None:
    if "next_cursor" in data:
        cursor = data["next_cursor"]
        return None if cursor is None else {"cursor": cursor}
    return {"offset": seen} if more and seen < int(data.get("total", 0)) else None
