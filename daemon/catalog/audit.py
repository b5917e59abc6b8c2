"""The audit trail: the journal of deletions, the newest first, by pages and filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import ledger
from daemon.catalog.holds import is_glob
from daemon.catalog.ledger import Record
from daemon.catalog.patterns import glob_match
from daemon.catalog.tables import deletions


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which deletions; what is None does not matter. ``task_id`` may be a glob of ``*`` and ``?``.

    From ``since`` on, and before ``until``, both aware.
    """

    task_id: str | None = None
    policy: str | None = None
    sweep_id: str | None = None
    initiator: str | None = None
    trigger: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A deletion's place in the list; ``committed_at`` is aware."""

    committed_at: datetime
    deletion_id: str


def mark(record: Record) -> Mark:
    """Where it stands."""
    return Mark(record.committed_at, record.entry.deletion_id)


def page(connection: Connection, wanted: AuditFilter, *, limit: int, after: Mark | None = None) -> list[Record]:
    """So many deletions, the newest first; with ``after``, those that come behind it."""
    c = deletions.c
    statement = (
        sa.select(deletions)
        .where(*_conditions(wanted, sqlite=connection.dialect.name == "sqlite"))
        .order_by(c.committed_at.desc(), c.deletion_id.desc())
        .limit(limit)
    )
    if after is not None:  # the first part alone says where the index begins
        behind = sa.or_(c.committed_at < after.committed_at, c.deletion_id < after.deletion_id)
        statement = statement.where(c.committed_at <= after.committed_at, behind)
    return [ledger.read(row) for row in connection.execute(statement)]


def unwritten(connection: Connection, limit: int) -> list[Record]:
    """What the audit file does not have yet, the earliest first: deletions in a state that it has not told."""
    c = deletions.c
    statement = sa.select(deletions).where(c.audited != c.state).order_by(c.committed_at, c.deletion_id).limit(limit)
    return [ledger.read(row) for row in connection.execute(statement)]


def written(connection: Connection, records: Sequence[Record]) -> None:
    """The audit file has these, as they were read: what has changed since is written again."""
    c = deletions.c
    for state in {record.state for record in records}:
        ids = [record.entry.deletion_id for record in records if record.state is state]
        connection.execute(deletions.update().where(c.deletion_id.in_(ids), c.state == state).values(audited=state))


def _conditions(wanted: AuditFilter, *, sqlite: bool) -> list[sa.ColumnElement[bool]]:
    c = deletions.c
    parts: list[sa.ColumnElement[bool]] = []
    if wanted.task_id is not None:
        glob = is_glob(wanted.task_id)
        parts.append(glob_match(c.task_id, wanted.task_id, sqlite=sqlite) if glob else c.task_id == wanted.task_id)
    plain: dict[str, Any] = {
        name: getattr(wanted, name) for name in ("policy", "sweep_id", "initiator", "trigger", "state")
    }
    parts += [c[name] == value for name, value in plain.items() if value is not None]
    if wanted.since is not None:
        parts.append(c.committed_at >= wanted.since)
    if wanted.until is not None:
        parts.append(c.committed_at < wanted.until)
    return parts
