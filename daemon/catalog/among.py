"""Many values as one parameter: a statement may have only so many, and each takes its time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa


def among(column: sa.ColumnElement[Any], values: Sequence[str], *, sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether the column holds one of these texts, however many they are."""
    if sqlite:
        each = sa.func.json_each(json.dumps(list(values))).table_valued("value")
        return column.in_(sa.select(each.c.value))
    return column == sa.any_(sa.literal(list(values), sa.ARRAY(sa.String)))
