"""Quotas: how full something may become, and how far it is emptied then."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema, field_validator

from daemon.policy.condition import Strict
from daemon.sizes import Space
from daemon.strict_yaml import kind

_EXAMPLES = "write a share such as 85%, a size such as 500GB or 500GiB, or, for inodes, a whole number such as 1000000"


# Less is no quota but a share whose sign is missing.
_FEW_INODES = 100


def _mark(value: Any) -> Space:
    if isinstance(value, Space):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"a mark cannot be negative: {_EXAMPLES}")
        return Space(None, value, str(value))
    if isinstance(value, float) and 0 < value < 1:
        raise ValueError(f"a share is written in percent: write {round(100 * value, 1):g}%")
    if not isinstance(value, str):
        raise ValueError(f"not a mark but {kind(value)}: {_EXAMPLES}")
    try:
        return Space.parse(value)
    except ValueError as error:
        problem = "a share cannot be more than 100%" if str(error).startswith("more than 100%") else "not a mark"
        raise ValueError(f"{problem}: {_EXAMPLES}") from None


Mark: TypeAlias = Annotated[
    Space,
    BeforeValidator(_mark),
    PlainSerializer(lambda mark: mark.text, return_type=str, when_used="json"),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)? ?(%|[KMGTP]i?B|B)$", "minimum": 0}),
]


class Quota(Strict):
    """At ``high`` a sweep begins to delete, and ends at ``low``.

    ``of``: the file system of the storage root, all task directories in it, or those of each user or database.
    ``measure``: allocated bytes, or inodes.
    """

    EXAMPLE: ClassVar = "{of: filesystem, high: 85%, low: 70%}"

    of: Literal["filesystem", "root", "user", "database"]
    measure: Literal["bytes", "inodes"] = "bytes"  # before the marks, whose rules ask for it
    high: Mark
    low: Mark

    @field_validator("high", "low")
    @classmethod
    def _fits_what_is_measured(cls, mark: Space, info: ValidationInfo) -> Space:
        of, measure = info.data.get("of"), info.data.get("measure")
        if mark.percent is not None:
            if of in ("user", "database"):
                raise ValueError(f"a share is of a file system, not of a {of}: write an amount such as 500GB")
        elif measure == "inodes" and mark.text.endswith("B"):
            raise ValueError("inodes have no size: write a whole number such as 1000000, or a share such as 85%")
        elif measure == "bytes" and not mark.text.endswith("B"):
            share = mark.text if of in ("filesystem", "root") and 0 < (mark.size_bytes or 0) <= 100 else None
            meant = f"write {share}% for a share of the file system, or" if share else "write"
            raise ValueError(f"an amount of bytes needs a unit: {meant} a size such as 500GB or 500GiB")
        elif measure == "inodes" and info.field_name == "high" and (mark.size_bytes or 0) <= _FEW_INODES:
            raise ValueError(
                f"{mark.text} means {mark.text} inodes: write {mark.text}% for a share, or a larger number"
            )
        return mark

    @field_validator("low")
    @classmethod
    def _below_high(cls, low: Space, info: ValidationInfo) -> Space:
        high: Space | None = info.data.get("high")
        if high is None:
            return low  # its own mistake is told
        if (high.percent is None) != (low.percent is None):
            raise ValueError("`high` and `low` are both shares or both amounts: write them alike")
        if (low.percent or 0, low.size_bytes or 0) >= (high.percent or 0, high.size_bytes or 0):
            raise ValueError("has to be below `high`: the sweep begins at `high` and ends at `low`")
        return low
