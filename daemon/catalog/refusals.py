"""The trail of refused requests: one row for each minute, address, reason and token, however many there were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from daemon.catalog.tables import refusals

KEPT: Final = 50_000
"""Rows, the newest: some ten megabytes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """``token``: the name of the one that did not do, empty if it was not known.

    ``method``, ``path`` and ``request_id`` are those of the last one.
    """

    minute: datetime
    address: str
    error_code: str
    token: str
    first_at: datetime
    last_at: datetime
    method: str
    path: str
    request_id: str
    count: int

    @property
    def key(self) -> tuple[datetime, str, str, str]:
        """What refusals are counted together by."""
        return self.minute, self.address, self.error_code, self.token


def add(connection: Connection, found: Iterable[Refusal]) -> None:
    """Write them down, added to what is there of the same minute."""
    for one in found:
        statement: Any = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(refusals)
        new = statement.excluded
        latest = {name: new[name] for name in ("last_at", "method", "path", "request_id")}
        connection.execute(
            statement.values(asdict(one)).on_conflict_do_update(
                index_elements=["minute", "address", "error_code", "token"],
                set_={**latest, "count": refusals.c.count + new.count},
            )
        )


def forget_old(connection: Connection) -> None:
    """Keep the newest ones."""
    last_at = refusals.c.last_at
    oldest = sa.select(last_at).order_by(last_at.desc()).offset(KEPT).limit(1).scalar_subquery()
    connection.execute(refusals.delete().where(last_at <= oldest))


def newest(connection: Connection, limit: int) -> list[Refusal]:
    """The last ones, the newest first."""
    columns = [refusals.c[name] for name in Refusal.__dataclass_fields__]
    order = (refusals.c.last_at.desc(), *(refusals.c[name] for name in ("address", "error_code", "token")))
    return [Refusal(*row) for row in connection.execute(sa.select(*columns).order_by(*order).limit(limit))]
