"""What was asked under which idempotency key, and how it was answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.tables import idempotency

KEPT: Final = timedelta(hours=24)
"""How long a key is remembered."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request with a key. ``job_id`` is what the journal knows its deletions by.

    ``status``, ``headers`` (JSON) and ``body`` are its answer; None until there is one.
    """

    fingerprint: str
    job_id: str
    begun_at: datetime
    status: int | None = None
    headers: str | None = None
    body: str | None = None


def begin(connection: Connection, caller: str, key: str, new: Keyed) -> Keyed | None:
    """Remember a new request; what the key stands for already, or None if it was free."""
    c = idempotency.c
    where = (c.caller == caller, c.key == key)
    found = _find(connection, where)
    if found is not None and found.begun_at >= new.begun_at - KEPT:
        return found
    connection.execute(idempotency.delete().where(*where))
    savepoint = connection.begin_nested()
    values = {name: getattr(new, name) for name in Keyed.__slots__}
    try:
        connection.execute(idempotency.insert().values(caller=caller, key=key, **values))
    except exc.IntegrityError:  # another process was faster
        savepoint.rollback()
        return _find(connection, where)
    savepoint.commit()
    return None


def answer(connection: Connection, caller: str, key: str, *, status: int, headers: str, body: str) -> None:
    """Keep the answer."""
    c = idempotency.c
    statement = idempotency.update().where(c.caller == caller, c.key == key)
    connection.execute(statement.values(status=status, headers=headers, body=body))


def forget(connection: Connection) -> int:
    """Forget the keys that are old enough; how many."""
    return connection.execute(idempotency.delete().where(idempotency.c.begun_at < clock.now() - KEPT)).rowcount


def _find(connection: Connection, where: Any) -> Keyed | None:
    statement = sa.select(*(idempotency.c[name] for name in Keyed.__slots__)).where(*where)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Keyed(*row)
