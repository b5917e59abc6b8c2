"""Fixtures of the API's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from blockbuster import BlockBuster

from integration.web.installation import Api, Installation, serving
from integration.web.remote import Sweepd
from support.prepared import prepare


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    """A file, database or lock call of the daemon on the event loop fails the test."""
    guard = BlockBuster(scanned_modules=["daemon"])
    for function in guard.functions.values():  # /proc is no disk
        function.can_block_in("prometheus_client/process_collector.py", "collect")
    guard.activate()
    yield
    guard.deactivate()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog after its migrations, to be copied."""
    path = tmp_path_factory.mktemp("prepared") / "catalog.sqlite3"
    prepare(f"sqlite:///{path}")
    return path


@pytest.fixture
def installation(tmp_path: Path, prepared: Path) -> Installation:
    return Installation(tmp_path, prepared)


@pytest.fixture
async def api(installation: Installation) -> AsyncIterator[Api]:
    async with serving(installation) as running:
        yield running


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """Every log event, with what the context adds to it."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


@pytest.fixture
def sweepd(events: list[Any], capsys: pytest.CaptureFixture[str]) -> Sweepd:
    """The command line for a server of this process, whose log is kept out of the output."""
    return Sweepd(capsys)
