"""Fixtures of all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from support.postgres import PostgresFailed, PostgresServer

# Where bytecode is not to be written, every one of some hundred processes would compile the daemon again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server. That it cannot start is a failure everywhere: nothing here is skipped."""
    server = PostgresServer()
    try:
        server.start()
    except (OSError, PostgresFailed) as error:
        server.remove()
        pytest.fail(f"the tests need a PostgreSQL server, and it did not start: {error}", pytrace=False)
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    postgres_server.start()  # an earlier test may have stopped it
    url = postgres_server.create_database()
    yield url
    postgres_server.start()
    postgres_server.drop_database(url)
