"""Policies that suspended themselves because their sweeps kept failing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.tables import policies


@dataclass(frozen=True, slots=True)
class Suspension:
    """Since when (aware) and why a policy is suspended, and the digest of what it said then."""

    since: datetime
    reason: str
    digest: str


def find(connection: Connection, name: str) -> Suspension | None:
    """The policy's suspension, if it is suspended."""
    c = policies.c
    statement = sa.select(c.suspended_at, c.suspended_reason, c.suspended_digest).where(
        c.name == name, c.suspended_at.is_not(None)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else Suspension(*row)


def all_of_them(connection: Connection) -> dict[str, Suspension]:
    """Every policy that is suspended, by name."""
    c = policies.c
    statement = sa.select(c.name, c.suspended_at, c.suspended_reason, c.suspended_digest)
    return {name: Suspension(*rest) for name, *rest in connection.execute(statement.where(c.suspended_at.is_not(None)))}


def failed_again(connection: Connection, name: str) -> int:
    """Count a failure of the policy; how many in a row that makes."""
    statement = (
        policies.update()
        .where(policies.c.name == name)
        .values(failures=policies.c.failures + 1)
        .returning(policies.c.failures)
    )
    return int(connection.execute(statement).scalar_one_or_none() or 0)


def worked(connection: Connection, name: str) -> None:
    """The policy's deletions work: what failed before does not count any more."""
    connection.execute(policies.update().where(policies.c.name == name, policies.c.failures > 0).values(failures=0))


def suspend(connection: Connection, name: str, reason: str, digest: str) -> None:
    """Suspend the policy as it is now."""
    connection.execute(
        policies.update()
        .where(policies.c.name == name)
        .values(suspended_at=clock.now(), suspended_reason=reason, suspended_digest=digest)
    )


def lift(connection: Connection, name: str) -> bool:
    """End the policy's suspension, its failures forgotten; whether there was one. Its schedule counts from now on."""
    done = connection.execute(
        policies.update()
        .where(policies.c.name == name, policies.c.suspended_at.is_not(None))
        .values(suspended_at=None, suspended_reason=None, suspended_digest=None, failures=0, scheduled_at=clock.now())
        .returning(policies.c.name)
    )
    return done.scalar_one_or_none() is not None
