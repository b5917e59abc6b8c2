"""Foreign keys by which rows go, or are changed, by themselves when the pipeline's rows are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.pipeline_schema import STEPS, TASKS
from daemon.errors import ErrorCode, TaskRefused

_SQLITE: Final = """
SELECT m.name AS child, lower(f."table") AS parent, f.id AS key, f."from" AS mine,
       coalesce(f."to", (SELECT t.name FROM pragma_table_info(f."table") t WHERE t.pk = f.seq + 1)) AS theirs
FROM sqlite_master m, pragma_foreign_key_list(m.name) f
WHERE m.type = 'table' AND lower(f."table") IN (:tasks, :steps)
  AND f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')
ORDER BY m.name, f.id, f.seq
"""
_POSTGRESQL: Final = """
SELECT CASE k.conrelid WHEN to_regclass(:tasks) THEN :tasks WHEN to_regclass(:steps) THEN :steps
       ELSE k.conrelid::regclass::text END AS child,
       CASE k.confrelid WHEN to_regclass(:tasks) THEN :tasks ELSE :steps END AS parent,
       k.oid AS key, m.attname::text AS mine, t.attname::text AS theirs
FROM pg_constraint k
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS c (mine, theirs, number)
JOIN pg_attribute m ON m.attrelid = k.conrelid AND m.attnum = c.mine
JOIN pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = c.theirs
WHERE k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd')
  AND k.confrelid IN (to_regclass(:tasks), to_regclass(:steps))
ORDER BY 1, k.oid, c.number
"""


@dataclass(frozen=True, slots=True)
class Key:
    """``columns``: each column of ``child`` with the one of ``parent`` that it refers to."""

    child: str
    parent: str
    columns: tuple[tuple[str, str], ...]

    @property
    def within(self) -> bool:
        """Whether it is one of the pipeline's own two tables."""
        return self.child in (TASKS, STEPS)


# A task's steps go with it, before it.
_OF_STEPS: Final = Key(STEPS, TASKS, (("task_id", "task_id"),))


def following(connection: Connection) -> list[Key]:
    """The keys to the pipeline's tables that delete rows (CASCADE) or change them (SET NULL, SET DEFAULT)."""
    query = sa.text(_SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL)
    rows = connection.execute(query, {"tasks": TASKS, "steps": STEPS}).all()
    found = groupby(rows, key=lambda row: (str(row.child), str(row.parent), row.key))
    return [Key(child, parent, tuple((row.mine, row.theirs) for row in each)) for (child, parent, _), each in found]


def check_others_stay(connection: Connection, task_ids: Sequence[str]) -> None:
    """Raises TaskRefused (RECORDS_IN_USE) if rows of tasks other than these would go, or be changed, with theirs."""
    for key in following(connection):
        if key.within and key != _OF_STEPS:
            others = connection.execute(_others(key, task_ids)).scalars().all()
            if others:
                names = ", ".join(str(other) for other in others)
                by = ", ".join(f"{key.child}.{mine}" for mine, _ in key.columns)
                raise TaskRefused(
                    f"rows of other tasks ({names}) refer to the records of {', '.join(task_ids[:3])} by {by}, and "
                    "would be deleted or changed with them; delete those first, or delete the directory alone",
                    code=ErrorCode.RECORDS_IN_USE,
                )


def _others(key: Key, task_ids: Sequence[str]) -> sa.Select[tuple[str]]:
    """A few of the other tasks."""
    child = sa.table(key.child, *(sa.column(name) for name in {"task_id", *(mine for mine, _ in key.columns)}))
    parent = sa.table(key.parent, *(sa.column(name) for name in {"task_id", *(theirs for _, theirs in key.columns)}))
    mine, theirs = child.alias("child"), parent.alias("parent")
    refers = sa.and_(*(mine.c[a] == theirs.c[b] for a, b in key.columns))
    other = sa.or_(mine.c.task_id.is_(None), mine.c.task_id.not_in(task_ids))
    chosen = sa.select(mine.c.task_id).select_from(mine.join(theirs, refers))
    return chosen.where(theirs.c.task_id.in_(task_ids), other).distinct().limit(3)
