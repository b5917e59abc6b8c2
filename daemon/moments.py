"""Times as text. People read local time of the terminal with its offset, machines read UTC in ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_UTC: Final = re.compile(
    r"\b(?P<at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|\+00:00))(?![0-9:])"
)


def for_people(moment: datetime | str | None, *, seconds: bool = False) -> str:
    """Return ``2026-12-01 11:30 +08:00`` of an aware instant, or of its ISO text; ``-`` for none."""
    if moment is None:
        return "-"
    try:
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        local = found.astimezone()
    except (ValueError, OverflowError, OSError):  # text that is no date; beyond the calendar's ends
        return str(moment)
    text = local.isoformat(" ", "seconds" if seconds else "minutes")
    # An offset with seconds (a zone before 1900) would be taken for a time of day.
    clock, offset = text[: 19 if seconds else 16], text[19 if seconds else 16 :]
    return f"{clock} {offset[:6]}"


def for_machines(moment: datetime) -> str:
    """Return ``2026-12-01T03:30:00Z`` of an aware instant: also how messages name one, whoever reads them."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def in_local_time(message: str) -> str:
    """Return ``message`` for a terminal: the UTC instants in it as people read them."""
    return _UTC.sub(lambda found: for_people(found["at"], seconds=True), message)
