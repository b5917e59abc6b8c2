"""Quotas: how full something may become, and how far it is emptied then."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from daemon.policy.condition import Strict
from daemon.sizes import Space
from daemon.strict_yaml import kind

_EXAMPLES = "write a share such as 85% or a size such as 500GB or 500GiB (inodes: a whole number such as 1000000)"


def _mark(value: Any) -> Space:
    if isinstance(value, Space):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Space(None, value, str(value))
    if not isinstance(value, str):
        raise ValueError(f"expected a mark, got {kind(value)}: {_EXAMPLES}")
    try:
        return Space.parse(value)
    except ValueError:
        raise ValueError(f"not a mark: {_EXAMPLES}") from None


Mark: TypeAlias = Annotated[
    Space,
    BeforeValidator(_mark),
    PlainSerializer(lambda mark: mark.text, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)? ?(%|[KMGTP]i?B|B)$", "minimum": 1}),
]


class Quota(Strict):
    """At ``high`` a sweep begins to delete, and ends at ``low``.

    ``of``: the file system of the storage root, all task directories in it, or those of each user or database.
    ``measure``: allocated bytes, or inodes.
    """

    of: Literal["filesystem", "root", "user", "database"]
    high: Mark
    low: Mark
    measure: Literal["bytes", "inodes"] = "bytes"

    @model_validator(mode="after")
    def _marks_fit(self) -> Quota:
        if (self.high.percent is None) != (self.low.percent is None):
            raise ValueError("`high` and `low` are both shares or both amounts: write them alike")
        if self.high.percent is not None and self.of in ("user", "database"):
            raise ValueError(f"a share is of a file system, not of a {self.of}: write an amount such as 500GB")
        units = {mark.text[-1:] for mark in (self.high, self.low) if mark.percent is None}
        if self.measure == "inodes" and "B" in units:
            raise ValueError("inodes are counted: write a whole number, or a share such as 85%")
        if self.measure == "bytes" and units - {"B"}:
            raise ValueError(f"an amount of bytes needs a unit: {_EXAMPLES}")
        high, low = self.high.of(10**18), self.low.of(10**18)
        if not low < high:
            raise ValueError("`low` has to be below `high`: the sweep ends there")
        return self
