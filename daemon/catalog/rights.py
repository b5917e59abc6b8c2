"""What the database's user may do to the tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.tables import metadata

_VERBS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
ON_THE_PIPELINES: Final = ("SELECT", "UPDATE", "DELETE")


def lacking(connection: Connection, tables: PipelineTables) -> dict[str, list[str]]:
    """By table, the rights that sweepd needs and does not have. On SQLite those on its file and folder count."""
    if connection.dialect.name == "sqlite":
        return _lacking_on_file(connection)
    pipeline = [tables.tasks.name] + ([] if tables.steps is None else [tables.steps.name])
    wanted = dict.fromkeys(pipeline, ON_THE_PIPELINES) | {table.name: _VERBS for table in metadata.sorted_tables}
    return lacking_on(connection, wanted)


def lacking_on(connection: Connection, wanted: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The same for these rights, by table, on PostgreSQL."""
    found: dict[str, list[str]] = {}
    for name, verbs in wanted.items():
        for verb in verbs:
            if not connection.execute(sa.select(sa.func.has_table_privilege(name, verb))).scalar_one():
                found.setdefault(name, []).append(verb)
    return found


def _lacking_on_file(connection: Connection) -> dict[str, list[str]]:
    # the folder too: SQLite keeps its journal beside the file
    path = Path(str(connection.exec_driver_sql("PRAGMA database_list").one()[2]))
    return {str(one): ["write"] for one in (path, path.parent) if not os.access(one, os.W_OK)}
