"""What the pipeline's tables are: whether sweepd reads and writes them right, and if not, why and what to change.

Whatever it does not know how to read right is refused: a date that was misread would delete too early.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.errors import CatalogNotReady

TASKS: Final = "data_pipeline_tasks"
STEPS: Final = "data_pipeline_task_steps"
GUESTS: Final = ("directory_exists", "updated_at")
"""The columns of the tasks that sweepd writes, and adds where they are absent."""

_TEXT: Final = frozenset({"varchar", "text"})
_PADDED_OR_ENUM: Final = frozenset({"bpchar", "enum"})
_NAMES: Final = _PADDED_OR_ENUM | {"citext", "name", "int2", "int4", "int8", "uuid"}
_DATES: Final = frozenset({"timestamp", "timestamptz"})


@dataclass(frozen=True, slots=True)
class _Expected:
    """PostgreSQL's types that are read as they are, and those that are cast to text; what is wrong with others."""

    needs: str
    plain: frozenset[str]
    cast: frozenset[str] = frozenset()
    because: str = "its values are names to sweepd"
    exact: bool = False
    affinities: frozenset[str] = frozenset({"text", "numeric", "blob"})


_ID = _Expected(
    "varchar or text",
    _TEXT,
    because="an id has to be compared as the directory's name is, character by character",
    exact=True,
    affinities=frozenset({"text"}),
)
_STATUS = _Expected("varchar, text or an enum", _TEXT, _PADDED_OR_ENUM, "it is compared with names", exact=True)
_NAME = _Expected("varchar or text", _TEXT, _NAMES, affinities=frozenset({"text", "numeric", "blob", "integer"}))
_DATE = _Expected(
    "timestamp", _DATES, because="an age measured by it could be wrong", affinities=frozenset({"text", "numeric"})
)
_FLAG = _Expected(
    "boolean",
    frozenset({"bool"}),
    because="sweepd writes true and false",
    affinities=frozenset({"numeric", "integer"}),
)
_COLUMNS: Final[Mapping[str, Mapping[str, _Expected]]] = {
    TASKS: {
        "task_id": _ID,
        "status": _STATUS,
        "by_user": _NAME,
        "db_name": _NAME,
        "task_name": _NAME,
        "created_at": _DATE,
        "started_at": _DATE,
        "completed_at": _DATE,
        "updated_at": _DATE,
        "directory_exists": _FLAG,
    },
    STEPS: {"task_id": _ID, "step_status": _STATUS},
}
_OPTIONAL: Final = "task_name"
_RELATIONS: Final = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence"}


@dataclass(frozen=True, slots=True)
class Column:
    """``kind``: PostgreSQL's name of the type below all domains, or ``enum``; SQLite's affinity. ``shown``: for people.

    ``exact``: whether equal means the same characters. ``writable``: it is not generated.
    """

    name: str
    kind: str
    shown: str
    exact: bool = True
    nullable: bool = True
    writable: bool = True
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """``kind``: as ``pg_class.relkind`` has it. ``unique_ids``: no two rows can have one ``task_id``."""

    name: str
    kind: str
    temporary: bool
    unlogged: bool
    unique_ids: bool
    columns: Mapping[str, Column] = field(default_factory=dict)

    @property
    def partitioned(self) -> bool:
        """Whether its rows lie in other tables."""
        return self.kind == "p"


def look(connection: Connection) -> dict[str, Table]:
    """The pipeline's tables that there are, by name."""
    names = (TASKS, STEPS)
    if connection.dialect.name == "sqlite":
        found = (_look_sqlite(connection, name) for name in names)
    else:
        found = (_look_postgresql(connection, name) for name in names)
    return {table.name: table for table in found if table is not None}


def check(tables: Mapping[str, Table], *, sqlite: bool, guests: bool = True) -> None:
    """Raises CatalogNotReady that names everything that keeps sweepd from using these tables, and what to change.

    Without ``guests`` the columns that sweepd adds may be absent.
    """
    found = [problem for table in tables.values() for problem in _problems(table, sqlite)]
    if found:
        raise CatalogNotReady(f"sweepd cannot use the pipeline's tables as they are: {'; '.join(found)}")
    missing = sorted(set(GUESTS) - tables[TASKS].columns.keys())
    if missing and guests:
        raise CatalogNotReady(f"{TASKS} lacks {', '.join(missing)}; run: sweepd init")


def check_ids(connection: Connection, tables: Mapping[str, Table]) -> None:
    """Raises CatalogNotReady if rows have no id, or two rows the same: of those nobody can tell which is meant.

    Reads the whole table where nothing keeps that from happening.
    """
    table = tables[TASKS]
    if table.unique_ids and not table.columns["task_id"].nullable:
        return
    task_id = sa.column("task_id", sa.String)
    of = sa.select(task_id).select_from(sa.table(TASKS))
    wrong = of.where(task_id.is_(None))
    if not table.unique_ids:
        wrong = of.group_by(task_id).having(sa.or_(sa.func.count() > 1, task_id.is_(None)))
    twice: Sequence[str | None] = connection.execute(wrong.limit(4)).scalars().all()
    if not twice:
        return
    keep = (
        ""
        if table.partitioned
        else f", then let the database keep it so: ALTER TABLE {TASKS} ADD PRIMARY KEY (task_id)"
    )
    shown = ", ".join("NULL" if name is None else str(name) for name in twice[:3])
    raise CatalogNotReady(
        f"{TASKS} has rows without an id, or several of one id ({shown}{', …' if len(twice) > 3 else ''}); mend them"
        f"{keep}"
    )


def remarks(
    connection: Connection, tables: Mapping[str, Table], running_statuses: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """What works, but not as well as it could: what it is, and what to do about it."""
    tasks = tables[TASKS]
    if not tasks.unique_ids:
        key = f"as its owner: CREATE UNIQUE INDEX ON {TASKS} (task_id)"
        if tasks.partitioned:  # whose unique keys have to hold what it is partitioned by
            key = "partitions can have no such key: see that the pipeline gives each id once"
        yield (
            f"nothing keeps two rows of {TASKS} from having one task_id",
            f"{key}; tasks of which there are two rows are refused, and stay",
        )
    if tasks.unlogged:
        yield f"{TASKS} is unlogged: a crash of the server empties it", f"ALTER TABLE {TASKS} SET LOGGED"
    for table in tables.values():
        if table.partitioned:
            yield (
                f"{table.name} is partitioned: sweepd adds no index to it",
                "if plans are slow, its owner makes the two indexes that docs/operations.md lists under PostgreSQL, "
                "without CONCURRENTLY: writers wait meanwhile",
            )
    default = "" if connection.dialect.name == "sqlite" else connection.execute(_DEFAULT, {"name": TASKS}).scalar()
    if default == "false":
        yield (
            f"{TASKS}.directory_exists is false in new rows: their directories are passed over",
            f"ALTER TABLE {TASKS} ALTER COLUMN directory_exists SET DEFAULT true",
        )
    labels = tasks.columns["status"].labels
    if labels and not set(labels) & set(running_statuses):
        yield (
            f"no label of {TASKS}.status ({', '.join(labels)}) is in catalog.running_statuses, so no status means "
            "that a task is running",
            "name those that do in catalog.running_statuses",
        )


def is_cast(table: Table, column: str) -> bool:
    """Whether the column is read as text although it is none."""
    found = table.columns[column]
    return found.kind in _COLUMNS[table.name][column].cast or (not found.exact and found.kind in _TEXT)


def _problems(table: Table, sqlite: bool) -> Iterator[str]:
    if table.kind not in "rp":
        what = _RELATIONS.get(table.kind, "no table")
        yield f"{table.name} is {what}, whose rows cannot be locked: let catalog.url lead to the table itself"
        return
    if table.temporary:
        yield f"{table.name} is a temporary table, which hides the pipeline's own: drop it"
        return
    for name, expected in _COLUMNS[table.name].items():
        column = table.columns.get(name)
        if column is None:
            if name != _OPTIONAL and name not in GUESTS:
                kind = "timestamp" if expected is _DATE else "varchar(100)"
                yield (
                    f"{table.name} lacks the column {name}, which sweepd reads: "
                    f"ALTER TABLE {table.name} ADD COLUMN {name} {kind}"
                )
            continue
        known = column.kind in (expected.affinities if sqlite else expected.plain | expected.cast)
        if not known or (expected.exact and not column.exact):
            how = column.shown + (", which takes different letters for the same" if known else "")
            kind = expected.needs.split()[0].rstrip(",")
            change = f"ALTER TABLE {table.name} ALTER COLUMN {name} TYPE {kind} USING …"
            if sqlite:
                change = "make the table anew with another declaration of it"
            yield f"{table.name}.{name} is {how}, and {expected.because}: it has to be {expected.needs} ({change})"
        elif name in GUESTS and not column.writable:
            yield (
                f"{table.name}.{name} is generated, and sweepd has to write it: "
                f"ALTER TABLE {table.name} ALTER COLUMN {name} DROP EXPRESSION"
            )


_OF_TABLE: Final = sa.text("""
SELECT c.relkind::text AS kind, c.relpersistence = 't' AS temporary, c.relpersistence = 'u' AS unlogged,
       NOT EXISTS (SELECT 1 FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
                   WHERE h.inhparent = c.oid AND p.relkind = 'r')
       AND EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
                   WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
                   AND i.indpred IS NULL AND a.attname = 'task_id') AS unique_ids
FROM pg_class c WHERE c.oid = to_regclass(:name)
""")
# Apart from the rest: to write an expression out takes a lock of its table.
_DEFAULT: Final = sa.text("""
SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = to_regclass(:name) AND a.attname = 'directory_exists' AND a.attgenerated = ''
""")
_OF_COLUMNS: Final = sa.text("""
SELECT a.attname::text AS name, CASE t.typtype WHEN 'e' THEN 'enum' ELSE t.typname::text END AS kind,
       format_type(a.atttypid, a.atttypmod) AS shown, coalesce(co.collisdeterministic, true) AS exact,
       NOT a.attnotnull AS nullable, a.attgenerated = '' AS writable,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels
FROM pg_attribute a
CROSS JOIN LATERAL (
    WITH RECURSIVE below AS (
        SELECT p.* FROM pg_type p WHERE p.oid = a.atttypid
        UNION ALL SELECT p.* FROM pg_type p JOIN below b ON b.typtype = 'd' AND p.oid = b.typbasetype
    ) SELECT * FROM below WHERE typtype <> 'd'
) t
LEFT JOIN pg_collation co ON co.oid = a.attcollation
WHERE a.attrelid = to_regclass(:name) AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (:columns)
""")


def _look_postgresql(connection: Connection, name: str) -> Table | None:
    row = connection.execute(_OF_TABLE, {"name": name}).one_or_none()
    if row is None:
        return None
    wanted = {"name": name, "columns": list(_COLUMNS[name])}
    columns = {
        one.name: Column(**{**one._mapping, "labels": tuple(one.labels)})
        for one in connection.execute(_OF_COLUMNS, wanted)
    }
    return Table(name, row.kind, row.temporary, row.unlogged, row.unique_ids, columns)


def _look_sqlite(connection: Connection, name: str) -> Table | None:
    found = connection.exec_driver_sql(
        "SELECT type, sql FROM sqlite_master WHERE lower(name) = ? AND type IN ('table', 'view')", (name,)
    ).first()
    if found is None:
        return None
    columns, keys = {}, []
    for row in connection.exec_driver_sql(f"PRAGMA table_xinfo({name})"):
        column = str(row.name).lower()
        keys += [column] if row.pk else []
        if column in _COLUMNS[name]:
            affinity = _affinity(row.type)
            exact = not re.search(rf"\b{column}\b[^,]*\bCOLLATE\s+\W?(?!BINARY)\w", found.sql, re.IGNORECASE)
            shown = row.type or "of no type"
            # a key that is not an INTEGER may have NULLs in SQLite
            columns[column] = Column(column, affinity, shown, exact, not row.notnull, row.hidden == 0)
    unique = keys == ["task_id"] or any(
        [one.name for one in connection.exec_driver_sql(f"PRAGMA index_info({index.name!r})")] == ["task_id"]
        for index in connection.exec_driver_sql(f"PRAGMA index_list({name})")
        if index.unique and not index.partial
    )
    return Table(name, "v" if found.type == "view" else "r", False, False, unique, columns)


def _affinity(declared: str) -> str:
    """As https://sqlite.org/datatype3.html has it."""
    kind = declared.upper()
    rules = {"integer": ("INT",), "text": ("CHAR", "CLOB", "TEXT"), "blob": ("BLOB",), "real": ("REAL", "FLOA", "DOUB")}
    for affinity, parts in rules.items():
        if any(part in kind for part in parts):
            return affinity
    return "numeric" if kind else "blob"
