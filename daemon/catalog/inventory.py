"""What the scans found in the storage root: one row for each task directory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from daemon.catalog.among import among
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import inventory
from daemon.catalog.together import Step

# More is not told apart: sums of some hundred directories have to fit into the database's integers.
_MOST: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Counted:
    """What was found in one directory, sizes in bytes; ``modified_at``: aware, the newest mtime in it."""

    files: int
    directories: int
    size_bytes: int
    freed_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan has to say of one directory: its counts, or the ``error`` that there are none.

    ``is_new``: it had no row in the inventory when the scan looked; ``is_another``: that was another directory's.
    """

    task_id: str
    is_new: bool
    is_another: bool
    signature: str
    measured_at: datetime
    counted: Counted | None
    error: str | None


def record(connection: Connection, seen_at: datetime, unchanged: Sequence[str], found: Sequence[Found]) -> None:
    """Note what a scan that began at ``seen_at`` met: these as they were, those with what was found in them.

    A deletion removes the row of its directory: it is neither waited for nor undone.
    """
    c = inventory.c
    known = [one.task_id for one in found if not one.is_new]
    if known:
        free = set(connection.execute(_free(connection, known)).scalars())
        found = [one for one in found if one.is_new or one.task_id in free]
    others = [one.task_id for one in found if one.is_another]
    if others:  # of what had that name before, nothing holds
        connection.execute(inventory.delete().where(_among(connection, others)))
    if unchanged:
        again = inventory.update().where(_are_free(connection, unchanged), c.last_seen_at < seen_at)
        connection.execute(again.values(last_seen_at=seen_at, sightings=c.sightings + 1))
    if found:
        _write(connection, seen_at, sorted(found, key=lambda one: one.task_id))


def _free(connection: Connection, names: Sequence[str]) -> sa.Select[Any]:
    """Those of these rows that nobody else has locked, locked."""
    return sa.select(inventory.c.task_id).where(_among(connection, names)).with_for_update(skip_locked=True)


def _are_free(connection: Connection, names: Sequence[str]) -> sa.ColumnElement[bool]:
    if _is_sqlite(connection):  # who writes there is alone
        return _among(connection, names)
    return inventory.c.task_id.in_(_free(connection, names).scalar_subquery())


def _among(connection: Connection, names: Sequence[str]) -> sa.ColumnElement[bool]:
    return among(inventory.c.task_id, names, sqlite=_is_sqlite(connection))


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def note_orphans(connection: Connection, tables: PipelineTables, seen_at: datetime) -> None:
    """Count what the scan that began at ``seen_at`` met without a row."""
    c = inventory.c
    met = sa.select(c.task_id).where(c.last_seen_at == seen_at, sa.not_(_has_row(tables)))
    since = sa.func.coalesce(c.orphan_since, sa.literal(seen_at, c.orphan_since.type))
    _update_free(connection, met, {"orphan_since": since, "orphan_sightings": c.orphan_sightings + 1})


def end_orphans(connection: Connection, tables: PipelineTables) -> None:
    """Forget of what has a row now that it was once met without."""
    c = inventory.c
    counted = sa.select(c.task_id).where(c.orphan_since.is_not(None), _has_row(tables))
    _update_free(connection, counted, {"orphan_since": None, "orphan_sightings": 0})


def _has_row(tables: PipelineTables) -> sa.ColumnElement[bool]:
    return sa.exists().where(tables.tasks.c.task_id == inventory.c.task_id)


def _update_free(connection: Connection, chosen: sa.Select[Any], values: dict[str, Any]) -> None:
    """What a deletion has locked is about to go."""
    free = chosen if _is_sqlite(connection) else chosen.with_for_update(skip_locked=True, of=inventory)
    connection.execute(inventory.update().where(inventory.c.task_id.in_(free.scalar_subquery())).values(**values))


def forgetting(task_ids: Collection[str]) -> Step:
    """What removes all that is known of these directories, which are not there any more."""
    return _FORGET, {"ids": sorted(task_ids)}


# Made once: every deletion needs it.
_FORGET: Final = inventory.delete().where(inventory.c.task_id.in_(sa.bindparam("ids", type_=sa.String, expanding=True)))


def not_seen_since(connection: Connection, seen_at: datetime, after: str, limit: int) -> list[str]:
    """Names that no scan has met since, in order, behind the name ``after``."""
    c = inventory.c
    statement = sa.select(c.task_id).where(c.last_seen_at < seen_at, c.task_id > after).order_by(c.task_id).limit(limit)
    return list(connection.execute(statement).scalars())


def returned(connection: Connection, tables: PipelineTables, after: str, limit: int) -> list[str]:
    """Names that scans have met and whose rows say that there is no directory, in order, behind the name ``after``."""
    t, c = tables.tasks.c, inventory.c
    statement = sa.select(c.task_id).join(tables.tasks, t.task_id == c.task_id)
    chosen = statement.where(t.directory_exists.is_(False), c.task_id > after).order_by(c.task_id).limit(limit)
    return list(connection.execute(chosen).scalars())


def forget_unseen(connection: Connection, seen_at: datetime, names: Sequence[str]) -> None:
    """Remove the rows of these names, unless a scan has met them since."""
    connection.execute(inventory.delete().where(_among(connection, names), inventory.c.last_seen_at < seen_at))


def measured(connection: Connection, task_ids: Sequence[str]) -> dict[str, Counted]:
    """The counts of these directories, as far as they are known."""
    c = inventory.c
    statement = sa.select(c.task_id, *(c[name] for name in Counted.__slots__))
    rows = connection.execute(statement.where(_among(connection, task_ids), c.measured_at.is_not(None)))
    return {row[0]: Counted(*row[1:]) for row in rows}


def seen(connection: Connection, task_id: str) -> dict[str, Any] | None:
    """What scans have to say of a directory, as JSON has it: sizes in bytes, instants in UTC; None if none met it."""
    columns = (inventory.c[name] for name in _SHOWN)
    row = connection.execute(sa.select(*columns).where(inventory.c.task_id == task_id)).one_or_none()
    if row is None:
        return None
    return {n: v.isoformat(timespec="seconds") if isinstance(v, datetime) else v for n, v in row._mapping.items()}


def total_bytes(connection: Connection) -> int:
    """The allocated bytes of all directories, as far as they are known."""
    total = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(inventory.c.freed_bytes), 0))).scalar_one()
    return int(total)


def _write(connection: Connection, seen_at: datetime, found: Sequence[Found]) -> None:
    """Rows for all of them: what SQLAlchemy does to each value of each row takes longer than the database."""
    if _is_sqlite(connection):
        statement, order = _insert_on_sqlite()
        seen = {
            "first_seen_at": _naive(seen_at),
            "last_seen_at": _naive(seen_at),
            "sightings": 1,
            "orphan_sightings": 0,
        }
        rows = [seen | _values(one, _naive) for one in found]
        connection.exec_driver_sql(statement, [tuple(row.get(name) for name in order) for row in rows])
    else:
        connection.execute(_insert_on_postgresql(seen_at, [_values(one, datetime.isoformat) for one in found]))


@cache
def _insert_on_sqlite() -> tuple[str, Sequence[str]]:
    """The statement, and the order of its parameters."""
    compiled = _or_update(sqlite.insert(inventory)).compile(dialect=sqlite.dialect(paramstyle="qmark"))
    return str(compiled), compiled.positiontup


def _insert_on_postgresql(seen_at: datetime, values: list[dict[str, object]]) -> Any:
    """With one parameter for everything that was found."""
    names = ["task_id", *_MEASURED]
    records = sa.func.json_to_recordset(sa.literal(values, sa.JSON))
    columns = records.table_valued(*(sa.column(name, inventory.c[name].type) for name in names))
    seen = sa.literal(seen_at, inventory.c.last_seen_at.type)
    rows = sa.select(*columns.render_derived(with_types=True).c, seen, seen, sa.literal(1))
    insert = postgresql.insert(inventory).from_select([*names, "first_seen_at", "last_seen_at", "sightings"], rows)
    return _or_update(insert)


def _or_update(insert: Any) -> Any:
    c, new = inventory.c, insert.excluded
    # no parameters: each row would have to bring them
    one, none = sa.literal_column("1", sa.Integer), sa.literal_column("0", sa.Integer)
    again = sa.case((c.last_seen_at < new.last_seen_at, one), else_=none)
    changed = {name: new[name] for name in _MEASURED}
    return insert.on_conflict_do_update(
        index_elements=[c.task_id],
        set_={**changed, "last_seen_at": new.last_seen_at, "sightings": c.sightings + again},
    )


_SHOWN: Final = ("first_seen_at", "last_seen_at", "sightings", "measured_at", *Counted.__slots__, "error")
_MEASURED: Final = ("signature", "measured_at", *Counted.__slots__, "error")


def _values(found: Found, stamp: Callable[[datetime], str]) -> dict[str, object]:
    """What a row has of it, its instants as ``stamp`` writes them."""
    counted = found.counted
    if counted is None:
        return {"task_id": found.task_id, "signature": found.signature, "error": found.error}
    return {
        "task_id": found.task_id,
        "signature": found.signature,
        "error": found.error,
        "measured_at": stamp(found.measured_at),
        "files": counted.files,
        "directories": counted.directories,
        "size_bytes": min(counted.size_bytes, _MOST),
        "freed_bytes": min(counted.freed_bytes, _MOST),
        "modified_at": stamp(counted.modified_at),
    }


def _naive(at: datetime) -> str:
    """As UtcDateTime keeps it on SQLite."""
    return at.astimezone(UTC).isoformat(" ", "microseconds")[:26]
