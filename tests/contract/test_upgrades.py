"""`sweepd init` after an upgrade: whatever schema it finds, every row comes through, and the daemon's code fits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from daemon.catalog import ledger, setup
from daemon.catalog.catalog import Catalog
from daemon.catalog.database import Database
from support.postgres import create_pipeline_tables

REVISIONS = [one.revision for one in ScriptDirectory.from_config(setup._alembic()).walk_revisions()][::-1]
STAMP = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
OWN = "sweepd_"
STATES = {"sweepd_deletions": "purged", "sweepd_jobs": "finished"}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """With the pipeline's tables, before sweepd's."""
    if request.param == "sqlite":
        path = tmp_path / "catalog.sqlite"
        path.touch()
        url = f"sqlite:///{path}"
    else:
        url = request.getfixturevalue("postgres_url")
        create_pipeline_tables(url)
    made = Database(url)
    setup.adopt_pipeline(made)
    yield made
    made.close()


def tables(connection: sa.Connection) -> list[sa.Table]:
    """sweepd's own, as they are now, those that others refer to first."""
    found = sa.MetaData()
    found.reflect(connection, only=lambda name, _: name.startswith(OWN) and name != setup.VERSION_TABLE)
    return found.sorted_tables


def a_row(table: sa.Table, number: int) -> dict[str, Any]:
    """Something in every column."""
    values: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type
        if isinstance(kind, sa.Boolean):
            values[column.name] = bool(number)
        elif isinstance(kind, sa.DateTime):
            values[column.name] = STAMP if kind.timezone else STAMP.replace(tzinfo=None)
        elif isinstance(kind, sa.Integer | sa.Numeric):
            values[column.name] = number
        elif isinstance(kind, sa.JSON):
            values[column.name] = {"number": number}
        else:
            values[column.name] = STATES[table.name] if column.name == "state" else f"text_{number}"
    return values


def rows(connection: sa.Connection, table: sa.Table, columns: list[str]) -> list[dict[str, Any]]:
    key = sorted(column.name for column in table.primary_key)
    statement = sa.select(*(table.c[name] for name in columns)).order_by(*(table.c[name] for name in key))
    return [dict(row._mapping) for row in connection.execute(statement)]


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_of_every_schema_there_was_come_through(database: Database, revision: str) -> None:
    config = setup._alembic()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    before: dict[str, tuple[list[str], list[dict[str, Any]]]] = {}
    with database.write() as connection:
        for table in tables(connection):
            for number in (0, 1) if table.name != "sweepd_roots" else (1,):
                connection.execute(table.insert().values(a_row(table, number)))
        for table in tables(connection):
            names = [column.name for column in table.columns]
            before[table.name] = (names, rows(connection, table, names))
    assert before, "there were tables"
    assert setup.migrate(database) == (None if revision == setup.SCHEMA else setup.SCHEMA)
    with database.read() as connection:
        setup.check_schema(connection)
        after = {table.name: table for table in tables(connection)}
        for name, (columns, kept) in before.items():
            assert rows(connection, after[name], columns) == kept
    catalog = Catalog(database.url.render_as_string(hide_password=False), timezone=None, running_statuses=("running",))
    try:
        with catalog.read() as session:
            found = ledger.find(session.connection, ["text_0", "text_1"])
        assert {one.state for one in found.values()} == {ledger.State.PURGED}
    finally:
        catalog.close()


def test_the_newest_schema_is_the_one_the_code_needs() -> None:
    assert REVISIONS[-1] == setup.SCHEMA
