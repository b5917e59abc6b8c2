"""Loaded by Schemathesis: values for the formats that no keyword of JSON Schema describes exactly."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

_CLOCK = st.sampled_from(["", "T03:00", "T23:59:59+08:00", "T00:00:00Z", " 12:30"])


def _dates(first: int, last: int) -> st.SearchStrategy[str]:
    days = st.builds("{:04}-{:02}-{:02}".format, st.integers(first, last), st.integers(1, 12), st.integers(1, 28))
    return st.builds(str.__add__, days, _CLOCK)


schemathesis.openapi.format("instant", _dates(1970, 8999))
schemathesis.openapi.format("future-date", _dates(2100, 8999))
_UNITS = st.sampled_from(["w", "d", "h", "m", "s", "d12h"])
schemathesis.openapi.format("duration-with-unit", st.builds("{}{}".format, st.integers(1, 5000), _UNITS))
_LINES = st.text("abcXYZ 0123,.:;-ÄÖ任务", min_size=1, max_size=60).filter(str.strip)
schemathesis.openapi.format("printable-line", _LINES)
schemathesis.openapi.format("status", st.sampled_from(["completed", "failed", "pending", "in_progress", "unheard-of"]))
