"""Whatever code the database answers with is a sentence that says what to do, and promises nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from daemon.catalog.database import Database, Locked
from daemon.errors import CatalogNotReady, CatalogUnavailable, SweepdError, TaskRefused
from support.stores import Store

SENTENCES = [
    ("08006", CatalogUnavailable, "lost the connection"),
    ("0A000", CatalogNotReady, "cannot do what sweepd needs"),
    ("22P02", TaskRefused, "refuses it"),
    ("23503", TaskRefused, "needs these records"),
    ("23514", TaskRefused, "refuses it"),
    ("25006", CatalogUnavailable, "takes no changes"),
    ("25P03", CatalogUnavailable, "idle_in_transaction_session_timeout"),
    ("28000", CatalogNotReady, "does not let this user in"),
    ("3D000", CatalogNotReady, "check the database's name"),
    ("3F000", CatalogNotReady, "has no schema"),
    ("40001", Locked, "try again in a moment"),
    ("40P01", Locked, "try again in a moment"),
    ("42501", CatalogNotReady, "grant what sweepd needs"),
    ("42601", CatalogNotReady, "does not understand"),
    ("42703", CatalogNotReady, "sweepd init"),
    ("42883", CatalogNotReady, "sweepd doctor"),
    ("42P01", CatalogNotReady, "sweepd init"),
    ("42P07", CatalogNotReady, "rename it"),
    ("53100", CatalogUnavailable, "no space left"),
    ("53200", CatalogUnavailable, "has run out"),
    ("53300", CatalogUnavailable, "max_connections"),
    ("55P03", Locked, "try again in a moment"),
    ("57014", CatalogUnavailable, "SET statement_timeout = 0"),
    ("57P01", CatalogUnavailable, "is starting or stopping"),
    ("58030", CatalogUnavailable, "look into its log"),
    ("P0001", TaskRefused, "refuses it"),
    ("XX001", CatalogUnavailable, "look into its log"),
]


@pytest.fixture
def database(postgres_store: Store) -> Iterator[Database]:
    made = Database(postgres_store.url)
    yield made
    made.close()


@pytest.mark.parametrize(("state", "kind", "said"), SENTENCES)
def test_every_code_has_its_sentence(database: Database, state: str, kind: type[SweepdError], said: str) -> None:
    with pytest.raises(SweepdError) as caught, database.write() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{state}'; END $$")
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert "tried again" not in str(caught.value)
    assert "does not answer" not in str(caught.value)


def test_a_lock_that_a_reader_cannot_have_is_the_databases_matter(database: Database) -> None:
    with pytest.raises(CatalogUnavailable, match="has locked a table"), database.read() as connection:
        connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '55P03'; END $$")
