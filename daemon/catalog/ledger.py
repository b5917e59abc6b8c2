"""The journal of deletions: one row each, inserted in the transaction that changes the task's own row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.tables import deletions


class State(StrEnum):
    """COMMITTED: the directory is in the trash. PURGED: it is gone for good. ABORTED: it never left its place."""

    COMMITTED = "committed"
    PURGED = "purged"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a deletion when it commits."""

    deletion_id: str
    task_id: str
    what: str
    trigger: str
    initiator: str
    policy: str | None
    sweep_id: str | None
    forced: bool
    directory_deleted: bool
    records_deleted: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact counts of a purged directory; sizes in bytes."""

    files: int
    directories: int
    size_bytes: int
    freed_bytes: int


def insert(connection: Connection, entry: Entry, state: State) -> None:
    """Add a deletion. In the same transaction as the change of the pipeline's rows, this is the commit point."""
    values = {name: getattr(entry, name) for name in Entry.__slots__}
    now = clock.now()
    counts = {"files": 0, "directories": 0, "size_bytes": 0, "freed_bytes": 0, "finished_at": now}
    extra = counts if state is State.PURGED else {}
    connection.execute(deletions.insert().values(**values, **extra, state=state, committed_at=now))


def abort(connection: Connection, entry: Entry) -> State:
    """Fence off a deletion whose COMMIT may still be under way, and return what it is now.

    ABORTED: the tombstone is in place, and the delayed COMMIT, if any, can only fail on it. Otherwise the
    deletion had been committed, and the state is the journal's.
    """
    values = {name: getattr(entry, name) for name in Entry.__slots__}
    savepoint = connection.begin_nested()
    try:
        connection.execute(deletions.insert().values(**values, state=State.ABORTED, committed_at=clock.now()))
    except exc.IntegrityError:
        savepoint.rollback()
        found = find(connection, entry.deletion_id)
        if found is None:
            raise
        return found
    savepoint.commit()
    return State.ABORTED


def find(connection: Connection, deletion_id: str) -> State | None:
    """The state of a deletion, or None if the journal has none of that id."""
    statement = sa.select(deletions.c.state).where(deletions.c.deletion_id == deletion_id)
    state = connection.execute(statement).scalar_one_or_none()
    return None if state is None else State(state)


def finish(connection: Connection, deletion_id: str, counts: Counts) -> bool:
    """Record that a committed deletion is purged. True for exactly one caller: counts enter the ledger once."""
    statement = (
        deletions.update()
        .where(deletions.c.deletion_id == deletion_id, deletions.c.state == State.COMMITTED)
        .values(
            state=State.PURGED,
            finished_at=clock.now(),
            files=counts.files,
            directories=counts.directories,
            size_bytes=counts.size_bytes,
            freed_bytes=counts.freed_bytes,
            error=None,
        )
    )
    return connection.execute(statement).rowcount == 1


def note_error(connection: Connection, deletion_id: str, error: str) -> None:
    """Remember why a committed deletion is not purged yet."""
    connection.execute(deletions.update().where(deletions.c.deletion_id == deletion_id).values(error=error))
