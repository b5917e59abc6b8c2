"""Which tasks have been announced, so that each is announced once by each policy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.among import among
from daemon.catalog.tables import announcements


def announced(connection: Connection, policy: str) -> dict[str, datetime]:
    """The tasks that the policy has announced, and when (aware)."""
    c = announcements.c
    statement = sa.select(c.task_id, c.announced_at).where(c.policy == policy)
    found = connection.execute(statement)
    return {str(row.task_id): row.announced_at for row in found}


def add(connection: Connection, policy: str, task_ids: Sequence[str], at: datetime) -> None:
    """Note that these are announced now."""
    rows = [{"policy": policy, "task_id": task_id, "announced_at": at} for task_id in task_ids]
    if rows:
        connection.execute(announcements.insert(), rows)


def forget(connection: Connection, policy: str, task_ids: Sequence[str]) -> None:
    """Should they be due again some day, they are announced again."""
    if not task_ids:
        return
    c = announcements.c
    these = among(c.task_id, task_ids, sqlite=connection.dialect.name == "sqlite")
    connection.execute(announcements.delete().where(c.policy == policy, these))


def forget_older(connection: Connection, policy: str, before: datetime) -> None:
    """Forget what the policy announced before that instant (aware)."""
    c = announcements.c
    connection.execute(announcements.delete().where(c.policy == policy, c.announced_at < before))


def forget_policies(connection: Connection, but: Collection[str]) -> None:
    """Only these policies announce anything."""
    connection.execute(announcements.delete().where(announcements.c.policy.not_in(sorted(but))))
