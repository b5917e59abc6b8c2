"""Behind a pooler that pools by transaction no lock lasts: noticed at the start, by init and by doctor."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from daemon.catalog.database import Database
from daemon.cli.exits import Exit
from daemon.doctor.examination import examine
from daemon.doctor.findings import State
from daemon.errors import StartupRefused
from support.daemons import Installation
from support.postgres import create_pipeline_tables
from support.transaction_pooler import pooling

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def through(site: Installation, url: str) -> Installation:
    """The same installation, with another way to its database."""
    return Installation(site.folder, url)


@pytest.fixture
def site(postgres_url: str, tmp_path: Path) -> Installation:
    create_pipeline_tables(postgres_url)
    made = Installation(tmp_path / "site", postgres_url)
    made.root.mkdir(parents=True)
    made.init()
    return made


@contextlib.contextmanager
def pgbouncer(url: str, mode: str, extra: str = "") -> Iterator[str]:
    """A real one, and the address through it."""
    assert PGBOUNCER is not None
    parts = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="sweepd-pooler-") as folder:
        settings = Path(folder, "pgbouncer.ini")
        settings.write_text(
            f"[databases]\n* = host={parts.hostname} port={parts.port} user={parts.username}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\n"
            f"unix_socket_dir =\n{extra}\n"
        )
        Path(folder).chmod(0o755)  # it refuses to run as root
        user = "nobody" if os.geteuid() == 0 else None
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([PGBOUNCER, str(settings)], stdout=quiet, stderr=quiet, user=user)
        address = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        try:
            until = time.monotonic() + 30
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(psycopg2.OperationalError), contextlib.closing(psycopg2.connect(address)):
                    break
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.wait()


def refuses(site: Installation) -> None:
    for command in ("init", "run"):
        done = site.run(command, check=False)
        assert done.returncode == Exit.REFUSED
        assert "pools by transaction" in done.stderr
        assert "pool_mode = session" in done.stderr
        assert "Traceback" not in done.stderr
    (found,) = (one for one in examine(site.config) if one.check == "sessions")
    assert found.state is State.FAILURE
    assert "pool_mode = session" in found.remedy


def test_a_direct_connection_is_in_order(site: Installation) -> None:
    (found,) = (one for one in examine(site.config) if one.check == "sessions")
    assert found.state is State.OK


def test_a_pooler_by_transaction_is_refused(site: Installation) -> None:
    with pooling(site.url) as pooler:
        refuses(through(site, pooler.url))


def test_it_is_seen_while_others_use_the_pool_too(site: Installation) -> None:
    with pooling(site.url) as pooler, contextlib.ExitStack() as stack:
        for _ in range(3):  # each keeps a connection of the server's
            other = stack.enter_context(contextlib.closing(psycopg2.connect(pooler.url)))
            other.cursor().execute("SELECT 1")
        database = Database(pooler.url)
        with pytest.raises(StartupRefused, match="pools by transaction"):
            database.check_sessions()
        database.close()


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("extra", ["", "server_round_robin = 1\nmin_pool_size = 4", "default_pool_size = 1"])
def test_so_is_a_real_pgbouncer(site: Installation, extra: str) -> None:
    with pgbouncer(site.url, "transaction", extra) as url:
        refuses(through(site, url))
    with pgbouncer(site.url, "session") as url, through(site, url).daemon() as daemon:
        assert daemon.get("/readyz").status_code == 200
