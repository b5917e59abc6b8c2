"""The rows of tasks whose deletion can be undone: kept in the database, written and read back in its transactions.

On PostgreSQL the database itself copies them, so a task's ``parameters``, which hold a password, never leave it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog import foreign_keys
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.pipeline_schema import STEPS, TASKS
from daemon.catalog.tables import snapshots
from daemon.errors import ErrorCode, TaskRefused

_BLOB: Final = "$base64"
# How many steps there are; the rows themselves stay in the database.
_STEPS_KEPT: Final = (
    sa.func.coalesce(sa.func.json_array_length(sa.cast(snapshots.c.steps, sa.JSON)), 0).label("steps"),
)


def take_marks(connection: Connection, tables: PipelineTables, deletions: Mapping[str, str], stamp: datetime) -> None:
    """Remember what a deletion of directories alone changes in the rows: by deletion id, the task's id.

    ``stamp`` is the ``updated_at`` that the deletion sets.
    """
    c = tables.tasks.c
    if not deletions:
        return
    # As text: SQLite keeps what the pipeline wrote, which need not be how a datetime is written here.
    updated_at = _as_text(connection, c.updated_at).label("updated_at")
    statement = sa.select(c.task_id, c.directory_exists, updated_at).where(c.task_id.in_(sorted(deletions.values())))
    before = {row.task_id: row for row in connection.execute(statement)}
    rows = []
    for deletion_id, task_id in deletions.items():
        row = before[task_id]
        mark = {
            "directory_exists": row.directory_exists,
            "updated_at": row.updated_at,
            "stamp": stamp.isoformat(),
        }
        rows.append({"deletion_id": deletion_id, "task": _dump(mark), "steps": None})
    connection.execute(snapshots.insert(), rows)


def has_one(connection: Connection, deletion_id: str) -> bool:
    """Whether anything was remembered of that deletion's rows: nothing was if there were none."""
    statement = sa.select(snapshots.c.deletion_id).where(snapshots.c.deletion_id == deletion_id)
    return connection.execute(statement).one_or_none() is not None


def put_back_mark(
    connection: Connection, tables: PipelineTables, deletion_id: str, task_id: str, now: datetime
) -> None:
    """Make the row say that its directory is there again; ``now`` is wall time of the pipeline's zone.

    A row that nobody has touched since is exactly what it was. Raises TaskRefused (RESTORE_CONFLICT) if there is none.
    """
    c = tables.tasks.c
    updated_at = connection.execute(sa.select(c.updated_at).where(c.task_id == task_id).with_for_update()).one_or_none()
    if updated_at is None:
        raise _conflict(task_id, "its records have been deleted since; restore them first (sweepd trash lists them)")
    mark = _load(_stored(connection, deletion_id).task)
    stamp = sa.literal(now.replace(microsecond=0), sa.DateTime)
    values: dict[str, Any] = {"directory_exists": True, "updated_at": tables.stamped(stamp)}
    if updated_at[0] == datetime.fromisoformat(mark["stamp"]):
        before = sa.literal(mark["updated_at"], sa.Text)
        values = {
            "directory_exists": mark["directory_exists"],
            "updated_at": before if connection.dialect.name == "sqlite" else tables.written(before),
        }
    connection.execute(tables.tasks.update().where(c.task_id == task_id).values(**values))
    said = connection.execute(sa.select(c.directory_exists).where(c.task_id == task_id)).scalar_one()
    if said != values["directory_exists"]:
        raise _kept_out(task_id)


def take_rows(connection: Connection, tables: PipelineTables, deletions: Mapping[str, str]) -> None:
    """Copy the tasks' rows and those of their steps: by deletion id, the task's id.

    Raises TaskRefused (RECORDS_IN_USE) if rows of another table would go with them and could not come back.
    """
    if not deletions:
        return
    others = sorted({key.child for key in foreign_keys.following(connection) if not key.within})
    if others:
        raise TaskRefused(
            f"the tables {', '.join(others)} lose rows with a task's, and could not be restored; delete the records "
            "without retain, or keep them",
            code=ErrorCode.RECORDS_IN_USE,
        )
    for deletion_id, task_id in deletions.items():
        if connection.dialect.name == "sqlite":
            values = {
                "deletion_id": deletion_id,
                "task": _dump(_fetch(connection, TASKS, task_id)[0]),
                "steps": _dump(_fetch(connection, STEPS, task_id)) if tables.steps is not None else None,
            }
            connection.execute(snapshots.insert().values(values))
            continue
        steps = f"(SELECT json_agg(row_to_json(s))::text FROM {STEPS} s WHERE s.task_id = t.task_id)"  # noqa: S608
        copy = (
            "INSERT INTO sweepd_snapshots (deletion_id, task, steps) "  # noqa: S608
            f"SELECT :deletion_id, row_to_json(t)::text, {steps if tables.steps is not None else 'NULL'} "
            f"FROM {TASKS} t WHERE t.task_id = :task_id"
        )
        connection.execute(sa.text(copy), {"deletion_id": deletion_id, "task_id": task_id})


def put_back_rows(connection: Connection, deletion_id: str, task_id: str) -> None:
    """Insert the rows again, as they were.

    Raises TaskRefused (RESTORE_CONFLICT): taken, a parent is missing, or the database keeps them out.
    """
    sqlite = connection.dialect.name == "sqlite"
    stored = _stored(connection, deletion_id, None if sqlite else _STEPS_KEPT)
    savepoint = connection.begin_nested()
    try:
        if sqlite:
            steps = _load(stored.steps) if stored.steps else []
            number = len(steps)
            _insert_sqlite(connection, TASKS, [_load(stored.task)])
            _insert_sqlite(connection, STEPS, steps)
        else:
            number = stored.steps
            _insert_postgresql(connection, TASKS, deletion_id, "json_build_array(task::json)")
            if number:
                _insert_postgresql(connection, STEPS, deletion_id, "steps::json")
    except exc.IntegrityError as error:
        savepoint.rollback()
        first_line = str(error.orig).strip().splitlines()[0]
        raise _conflict(task_id, f"its rows cannot be inserted again ({first_line})") from error
    savepoint.commit()
    # What is there counts, not what was inserted: a trigger may put the rows elsewhere, or take them away again.
    if _number(connection, TASKS, task_id) < 1 or (number and _number(connection, STEPS, task_id) < number):
        raise _kept_out(task_id)


def _as_text(connection: Connection, column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    return sa.type_coerce(column, sa.Text) if connection.dialect.name == "sqlite" else sa.cast(column, sa.Text)


def _stored(
    connection: Connection, deletion_id: str, columns: Sequence[sa.ColumnElement[Any]] | None = None
) -> sa.Row[*tuple[Any, ...]]:
    chosen = columns or (snapshots.c.task, snapshots.c.steps)
    statement = sa.select(*chosen).where(snapshots.c.deletion_id == deletion_id)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise _conflict(deletion_id, "the catalog has no copy of its rows")
    return row


def _insert_postgresql(connection: Connection, table: str, deletion_id: str, source: str) -> None:
    keys = sa.text(
        "SELECT DISTINCT json_object_keys(value) FROM sweepd_snapshots, "  # noqa: S608
        f"json_array_elements({source}) WHERE deletion_id = :deletion_id"
    )
    kept = set(connection.execute(keys, {"deletion_id": deletion_id}).scalars())
    inspected = sa.inspect(connection).get_columns(table)
    # what the table has lost since stays lost, and what it computes it computes again
    names = [column["name"] for column in inspected if column["name"] in kept and "computed" not in column]
    columns = ", ".join(_quoted(connection, name) for name in names)
    values = ", ".join(f"r.{_quoted(connection, name)}" for name in names)
    copy = (
        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM sweepd_snapshots, "  # noqa: S608
        f"json_populate_recordset(NULL::{table}, {source}) r WHERE deletion_id = :deletion_id"
    )
    connection.execute(sa.text(copy), {"deletion_id": deletion_id})


def _insert_sqlite(connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    present = [column["name"] for column in sa.inspect(connection).get_columns(table) if "computed" not in column]
    for row in rows:
        names = [name for name in present if name in row]
        columns = ", ".join(_quoted(connection, name) for name in names)
        marks = ", ".join("?" for _ in names)
        values = tuple(row[name] for name in names)
        connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)  # noqa: S608


def _fetch(connection: Connection, table: str, task_id: str) -> list[dict[str, Any]]:
    result = connection.exec_driver_sql(f"SELECT * FROM {table} WHERE task_id = ?", (task_id,))  # noqa: S608
    return [dict(row._mapping) for row in result]


def _dump(value: object) -> str:
    return json.dumps(value, default=lambda blob: {_BLOB: base64.b64encode(blob).decode()})


def _load(text: str) -> Any:
    return json.loads(text, object_hook=lambda item: base64.b64decode(item[_BLOB]) if {*item} == {_BLOB} else item)


def _number(connection: Connection, table: str, task_id: str) -> int:
    statement = sa.text(f"SELECT count(*) FROM {table} WHERE task_id = :task_id")  # noqa: S608
    return int(connection.execute(statement, {"task_id": task_id}).scalar_one())


def _kept_out(task_id: str) -> TaskRefused:
    return _conflict(task_id, "a trigger, rule or policy of the database keeps its rows from coming back")


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _conflict(task_id: str, why: str) -> TaskRefused:
    return TaskRefused(
        f"{task_id} cannot be restored: {why}", code=ErrorCode.RESTORE_CONFLICT, details={"task_id": task_id}
    )
