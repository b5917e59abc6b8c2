"""Installations for the real process, on SQLite and on PostgreSQL with the pipeline's own tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import Installation
from support.postgres import PostgresServer, create_pipeline_tables
from support.prepared import Prepared
from support.stores import Store


@pytest.fixture
def postgres_installation(prepared: Prepared, tmp_path: Path) -> Iterator[Installation]:
    ready = prepared.postgresql()
    made = Installation(tmp_path / "site", ready.url)
    made.init()
    yield made
    prepared.give_back(ready)


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """Ready, without tasks and policies."""
    if request.param == "postgresql":
        made: Installation = request.getfixturevalue("postgres_installation")
        return made
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3")
    made.init()
    return made


@pytest.fixture
def store(installation: Installation) -> Store:
    return Store(installation.url)


@pytest.fixture
def shanghai_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database in Asia/Shanghai, with the pipeline's tables."""
    postgres_server.start()
    url = postgres_server.create_database(timezone="Asia/Shanghai")
    create_pipeline_tables(url)
    yield url
    postgres_server.drop_database(url)
