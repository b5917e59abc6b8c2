"""The same tests on SQLite and on a real PostgreSQL, and on one of an older installation whose tasks have no name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.prepared import Prepared
from support.site import Site, opened
from support.stores import Store

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, prepared: Prepared, tmp_path: Path) -> Iterator[Store]:
    """A ready database of each kind, without any task."""
    made = prepared.sqlite(tmp_path) if request.param == "sqlite" else prepared.postgresql()
    yield made
    prepared.give_back(made, again=True)


@pytest.fixture
def postgres_store(prepared: Prepared) -> Iterator[Store]:
    """The same on PostgreSQL alone."""
    made = prepared.postgresql()
    yield made
    prepared.give_back(made, again=True)


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[Site]:
    """A ready installation."""
    with opened(store, tmp_path / "root") as made:
        made.init()
        yield made


@pytest.fixture
def postgres_site(postgres_store: Store, tmp_path: Path) -> Iterator[Site]:
    """A ready installation on PostgreSQL alone."""
    with opened(postgres_store, tmp_path / "root") as made:
        made.init()
        yield made
