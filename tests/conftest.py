"""Fixtures of all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support import programs, scratch
from support.postgres import PostgresFailed, PostgresServer
from support.prepared import Prepared
from support.processes import ForkServer

# Where bytecode is not to be written, every one of some hundred processes would compile the daemon again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A shell's background job ignores Ctrl-C, and so would all processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A busy machine is not a failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


_SECOND = {"sqlite", "portable"}
_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)  # before pytest itself looks where they are to be
def pytest_configure(config: pytest.Config) -> None:
    """The run's files in memory; the workers of xdist get the place from the process that starts them."""
    if not hasattr(config, "workerinput"):
        folder = scratch.use_memory()
        if folder is not None:
            config.stash[_FOLDER] = folder
            if config.option.basetemp is None:
                config.option.basetemp = str(folder / "t")  # the path of a socket has 107 bytes


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed tests leave stays until the next run."""
    if exitstatus == pytest.ExitCode.OK and _FOLDER in session.config.stash:
        session.config.add_cleanup(lambda: shutil.rmtree(session.config.stash[_FOLDER], ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: no collection of garbage has to go through it, then or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)  # before pytest itself looks who is deselected, and after the order was drawn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """What takes a second or more runs each way only with ``make test-all``: by default on PostgreSQL, with openat2.

    What has the other way alone runs that way.
    """
    costly = [one for one in items if "acceptance" in one.path.parts or one.get_closest_marker("costly") is not None]
    both = {_test(one) for one in costly if not _is_second(one)}
    for item in costly:
        if _is_second(item) and _test(item) in both:
            item.add_marker("exhaustive")
    yield
    # Those with a limit of their own may take longest: none of them is the last, with nothing beside it.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def _test(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _is_second(item: pytest.Item) -> bool:
    identifier: str = getattr(getattr(item, "callspec", None), "id", "")
    return not _SECOND.isdisjoint(identifier.split("-"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server. That it cannot start is a failure everywhere: nothing here is skipped."""
    server = PostgresServer(durable=False)
    try:
        server.start()
    except (OSError, PostgresFailed) as error:
        server.remove()
        pytest.fail(f"the tests need a PostgreSQL server, and it did not start: {error}", pytrace=False)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def prepared(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(postgres_server, tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def processes() -> ForkServer:
    """The one that starts programs, too: everything is imported once."""
    return programs.server()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    postgres_server.start()  # an earlier test may have stopped it
    url = postgres_server.create_database()
    yield url
    postgres_server.start()
    postgres_server.drop_database(url)
