"""The journal of deletions: one row each, inserted in the transaction that changes the task's own row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog.among import among
from daemon.catalog.database import AUDITED
from daemon.catalog.tables import deletions, snapshots
from daemon.catalog.together import Step, together


class State(StrEnum):
    """COMMITTED: the directory is in the trash. PURGED: it is gone for good. ABORTED: it never left its place.

    RESTORED: it is back, with its rows.
    """

    COMMITTED = "committed"
    PURGED = "purged"
    ABORTED = "aborted"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a deletion when it commits. ``purge_after``: aware; None if it is purged at once.

    ``client`` and ``request_id``: of the HTTP request that asked for it; ``plan_digest``: of the sweep's plan;
    ``reason``: why, in one line.
    ``job_id``: the job it belongs to, or the request with an idempotency key.
    """

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
    purge_after: datetime | None = None
    client: str | None = None
    request_id: str | None = None
    plan_digest: str | None = None
    reason: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact counts of a purged directory; sizes in bytes."""

    files: int
    directories: int
    size_bytes: int
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the journal. ``counts`` is None until the directory has been counted.

    ``restored_by``: who undid it, at ``finished_at``. ``in_place``: the identity of a directory that is removed where
    it stands, and never was in the trash.
    """

    entry: Entry
    state: State
    committed_at: datetime
    finished_at: datetime | None
    counts: Counts | None
    error: str | None
    restored_by: str | None = None
    in_place: str | None = None

    @property
    def retained(self) -> bool:
        """Whether it waits in the trash, and can be restored."""
        return self.state is State.COMMITTED and self.entry.purge_after is not None


# Made once: every deletion needs it.
_INSERT: Final = deletions.insert()


def insert(
    connection: Connection,
    entries: Sequence[Entry],
    state: State,
    at: datetime,
    counts: Mapping[str, Counts] | None = None,
    before: Sequence[Step] = (),
    in_place: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Add deletions, ``before`` the change of the pipeline's rows: that they commit together is the commit point.

    How many rows the last of ``before`` has changed or found, 0 without any. ``at`` (aware) is the session's instant,
    so that the journal, the rows and every answer tell the same time. ``counts`` holds, by deletion id, those that are
    known already; a deletion that is PURGED at once had nothing. ``in_place`` holds the identities of directories that
    stay where they stand until they are removed.
    """
    rows = []
    for entry in entries:
        known = (counts or {}).get(entry.deletion_id) or (Counts(0, 0, 0, 0) if state is State.PURGED else None)
        rows.append(
            {
                **_values(entry),
                **_counts(known),
                "audited": _audited(connection),
                "state": state,
                "in_place": in_place.get(entry.deletion_id),
                "committed_at": at,
                "finished_at": at if state is State.PURGED else None,
            }
        )
    alone = len(rows) == 1
    if not alone:
        connection.execute(_INSERT, rows)
        if not before:
            return 0
    # the last in one message is the one that tells how many
    done = together(connection, [(_INSERT, rows[0]), *before] if alone else before)
    if not before:
        return 0
    return len(done.all()) if done.returns_rows else done.rowcount


def abort(connection: Connection, entries: Sequence[Entry]) -> dict[str, State]:
    """Fence off deletions whose COMMIT may still be under way, and return what each is now, by its id.

    ABORTED: the tombstone is in place, and the delayed COMMIT, if any, can only fail on it. Otherwise the
    deletion had been committed, and the state is the journal's.
    """
    return {entry.deletion_id: _abort(connection, entry) for entry in entries}


def _abort(connection: Connection, entry: Entry) -> State:
    savepoint = connection.begin_nested()
    try:
        values = {**_values(entry), "audited": _audited(connection)}
        connection.execute(deletions.insert().values(**values, state=State.ABORTED, committed_at=clock.now()))
    except exc.IntegrityError:
        savepoint.rollback()
        found = find(connection, [entry.deletion_id]).get(entry.deletion_id)
        if found is None:
            raise
        return found.state
    savepoint.commit()
    return State.ABORTED


def find(connection: Connection, deletion_ids: Iterable[str], *, lock: bool = False) -> dict[str, Record]:
    """The records of these deletions, as far as the journal has them; with ``lock``, until the transaction ends.

    The lock waits for a COMMIT that is still under way.
    """
    ids = sorted(set(deletion_ids))
    if not ids:
        return {}
    chosen = among(deletions.c.deletion_id, ids, sqlite=connection.dialect.name == "sqlite")
    statement = sa.select(deletions).where(chosen).order_by(deletions.c.deletion_id)
    if lock:
        statement = statement.with_for_update()
    records = map(read, connection.execute(statement))
    return {record.entry.deletion_id: record for record in records}


def last_of_task(connection: Connection, task_id: str) -> Record | None:
    """The latest deletion of a task that took place, by the database's clock."""
    c = deletions.c
    statement = (
        sa.select(deletions)
        .where(c.task_id == task_id, c.state != State.ABORTED)
        .order_by(c.committed_at.desc(), c.deletion_id.desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else read(row)


def of_job(connection: Connection, job_id: str) -> list[Record]:
    """The deletions that belong to a job, the earliest first."""
    statement = sa.select(deletions).where(deletions.c.job_id == job_id).order_by(deletions.c.deletion_id)
    return [read(row) for row in connection.execute(statement)]


def restored_since(connection: Connection, task_id: str, by: str, since: datetime) -> list[Record]:
    """The deletions of a task that this initiator has undone since then, in the order of the undoing."""
    c = deletions.c
    statement = (
        sa.select(deletions)
        .where(c.task_id == task_id, c.state == State.RESTORED, c.restored_by == by, c.finished_at >= since)
        .order_by(c.finished_at)
    )
    return [read(row) for row in connection.execute(statement)]


def unfinished(connection: Connection) -> tuple[int, datetime | None]:
    """How many deletions are committed that neither wait in the trash nor are purged, and since when the oldest is."""
    c = deletions.c
    statement = sa.select(sa.func.count(), sa.func.min(c.committed_at)).where(
        c.state == State.COMMITTED, c.purge_after.is_(None)
    )
    number, oldest = connection.execute(statement).one()
    return int(number), oldest


def count(connection: Connection, counts: Mapping[str, Counts]) -> None:
    """Remember the counts of directories that wait in the trash."""
    for deletion_id, known in counts.items():
        connection.execute(
            deletions.update()
            .where(deletions.c.deletion_id == deletion_id, deletions.c.state == State.COMMITTED)
            .values(**_counts(known))
        )


# Made once: every deletion needs it.
_FINISH: Final = (
    deletions.update()
    .where(
        deletions.c.deletion_id.in_(sa.bindparam("ids", type_=sa.String, expanding=True)),
        deletions.c.state == State.COMMITTED,
    )
    .values(state=State.PURGED, finished_at=sa.bindparam("now", type_=deletions.c.finished_at.type), error=None)
    .returning(deletions.c.deletion_id, deletions.c.purge_after, *(deletions.c[name] for name in Counts.__slots__))
)


def finish(connection: Connection, counts: Mapping[str, Counts]) -> set[str]:
    """Record that committed deletions are purged, and forget their snapshots.

    The ids for which it was so: a deletion is in the answer for exactly one caller, so its counts enter the
    ledger once.
    """
    c = deletions.c
    rows = together(connection, [(_FINISH, {"ids": sorted(counts), "now": clock.now()})]).all()
    for row in rows:
        known = _counts(counts[row.deletion_id])
        if known != {name: row._mapping[name] for name in known}:  # else they were known when it was committed
            connection.execute(deletions.update().where(c.deletion_id == row.deletion_id).values(**known))
    _forget(connection, {str(row.deletion_id) for row in rows if row.purge_after is not None})
    return {str(row.deletion_id) for row in rows}


def restored(connection: Connection, deletion_id: str, by: str) -> None:
    """Record that a deletion was undone by a person; in the transaction that puts its rows back."""
    connection.execute(
        deletions.update()
        .where(deletions.c.deletion_id == deletion_id)
        .values(state=State.RESTORED, finished_at=clock.now(), restored_by=by, error=None)
    )
    _forget(connection, {deletion_id})


def standing(connection: Connection) -> list[Record]:
    """The committed deletions whose directory is being removed where it stands."""
    c = deletions.c
    chosen = sa.and_(c.state == State.COMMITTED, c.purge_after.is_(None), c.in_place.is_not(None))
    return [read(row) for row in connection.execute(sa.select(deletions).where(chosen).order_by(c.deletion_id))]


def begin(connection: Connection, counts: Mapping[str, Counts], in_place: str | None) -> None:
    """Record the counts of what is being removed from now on, and cannot be restored any more.

    ``in_place`` as in ``Record``, where no manifest on disk says what it is.
    """
    c = deletions.c
    for deletion_id, known in counts.items():
        connection.execute(
            deletions.update()
            .where(c.deletion_id == deletion_id, c.state == State.COMMITTED)
            .values(purge_after=None, in_place=in_place, **_counts(known))
        )
    _forget(connection, counts)


def note_error(connection: Connection, deletion_id: str, error: str, begun: Counts | None) -> None:
    """Remember why a committed deletion is not purged yet.

    With the counts of one whose purge has ``begun`` it waits no longer, and its snapshot is forgotten.
    """
    c = deletions.c
    values = {"error": error} if begun is None else {"error": error, "purge_after": None, **_counts(begun)}
    statement = deletions.update().where(c.deletion_id == deletion_id, c.state == State.COMMITTED).values(**values)
    if connection.execute(statement).rowcount and begun is not None:
        _forget(connection, {deletion_id})


def _forget(connection: Connection, deletion_ids: Collection[str]) -> None:
    if deletion_ids:
        connection.execute(snapshots.delete().where(snapshots.c.deletion_id.in_(sorted(deletion_ids))))


def _values(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


def _audited(connection: Connection) -> str | None:
    """Empty: an audit file is kept, and has nothing of it yet. None: there is none to be written."""
    return "" if connection.get_execution_options().get(AUDITED) else None


def _counts(counts: Counts | None) -> dict[str, int | None]:
    return {name: None if counts is None else getattr(counts, name) for name in Counts.__slots__}


def read(row: sa.Row[Any]) -> Record:
    """The record in a row of the table."""
    values = row._mapping
    counted = values["files"] is not None
    return Record(
        entry=Entry(**{name: values[name] for name in Entry.__slots__}),
        state=State(values["state"]),
        committed_at=values["committed_at"],
        finished_at=values["finished_at"],
        counts=Counts(**{name: int(values[name]) for name in Counts.__slots__}) if counted else None,
        error=values["error"],
        restored_by=values["restored_by"],
        in_place=values["in_place"],
    )
