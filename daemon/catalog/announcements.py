"""Which tasks have been announced, so that each is announced once by each policy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.among import among
from daemon.catalog.tables import announcements
from daemon.policy.models import Policy


def of_policy(policy: Policy) -> sa.ColumnElement[bool]:
    """Return whether an announcement is the policy's, and says what the policy does now."""
    c = announcements.c
    return sa.and_(c.policy == policy.name, sa.or_(c.action.is_(None), c.action == policy.action.digest))


def announced(connection: Connection, policy: Policy) -> dict[str, datetime]:
    """Return the tasks that the policy has announced with its present action, and when (aware)."""
    c = announcements.c
    found = connection.execute(sa.select(c.task_id, c.announced_at).where(of_policy(policy)))
    return {str(row.task_id): row.announced_at for row in found}


def add(connection: Connection, policy: Policy, task_ids: Sequence[str], at: datetime) -> None:
    """Note that these are announced now; what was announced of them with another action is void."""
    fixed = {"policy": policy.name, "announced_at": at, "action": policy.action.digest}
    if task_ids:
        forget(connection, policy.name, task_ids)
        connection.execute(announcements.insert(), [{"task_id": task_id, **fixed} for task_id in task_ids])


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
