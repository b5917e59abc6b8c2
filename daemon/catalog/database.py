"""Connections and transactions on PostgreSQL and SQLite; driver errors leave here as sweepd's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from daemon import clock
from daemon.catalog.dates import read_unknown_as_none
from daemon.errors import CatalogNotReady, CatalogUnavailable, ErrorCode, TaskRefused
from daemon.metrics.database import PoolFacts

_BUSY_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_S = 5
_LOCK_TIMEOUT = "5s"
# A server that has vanished without a word is given up after about a minute, where the kernel would wait for hours.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
_READ_ONLY = "sweepd_read_only"
AUDITED = "sweepd_audited"
_USED_AT = "sweepd_used_at"
# A connection that was used so shortly ago is not asked whether it lives: that would be a tenth of a deletion's time.
_TRUSTED_IDLE_S = 1.0
# PostgreSQL's class 42P01/42703: undefined table or column; 55P03: lock not available; 40P01: deadlock
_UNDEFINED = {"42P01", "42703"}
_LOCKED = {"55P03", "40P01"}
# 42501: insufficient privilege; 25006: read-only transaction
_FORBIDDEN = "42501"
_READ_ONLY_SERVER = "25006"
# 23503: foreign key violation
_REFERENCED = "23503"


class CommitUncertain(CatalogUnavailable):
    """The connection failed during COMMIT: the transaction may or may not have happened."""


class Database:
    """One database; ``read`` and ``write`` are the only ways to a connection."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = _with_driver(url)
        self._lock = threading.Lock()
        self._waiting = 0
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.make_room: Callable[[], None] = lambda: None
        """Called before each transaction on SQLite, whose file may lie on a disk that is full."""
        self.audited = False
        """Whether an audit file is kept, so that what is committed from now on has to be written there."""
        if self.is_sqlite:
            # mode=rw: only ``sweepd init`` creates the file; a wrong path must not look like an empty catalog
            self._engine = sa.create_engine(
                self.url.set(database=f"file:{quote(self.url.database or '')}").update_query_dict(
                    {"mode": "rw", "uri": "true"}
                ),
                connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000},
                pool_size=pool_size,
                hide_parameters=True,
            )
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        else:
            self._engine = sa.create_engine(
                self.url,
                connect_args={
                    **{name: value for name, value in _KEEPALIVE.items() if name not in self.url.query},
                    "connect_timeout": _CONNECT_TIMEOUT_S,
                    "application_name": "sweepd",
                },
                isolation_level="READ COMMITTED",
                pool_size=pool_size,
                pool_timeout=_CONNECT_TIMEOUT_S,
                hide_parameters=True,
            )
            event.listen(self._engine, "connect", _prepare_postgresql)
            event.listen(self._engine, "checkin", _note_use)
            event.listen(self._engine, "checkout", _see_alive)

    @property
    def name(self) -> str:
        """The URL without its passwords, for people to read; libpq takes some among the parameters too."""
        shown = self.url.difference_update_query([key for key in self.url.query if "password" in key.lower()])
        return shown.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that changes nothing, and sees the database as it was at its first statement.

        Raises CatalogUnavailable or CatalogNotReady.
        """
        with self.translated(reading=True), self._connect(read_only=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end and rolls back on any error.

        Raises CatalogUnavailable or CatalogNotReady if nothing was changed, CommitUncertain if that is not known.
        """
        with self.translated(), self._connect(read_only=False) as connection:
            transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                _roll_back(transaction)
                raise
            try:
                transaction.commit()
            except exc.DBAPIError as error:
                if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
                    raise CommitUncertain(f"the connection to {self.name} failed during COMMIT") from error
                raise

    def pool(self) -> PoolFacts:
        """How it is with the connections at this moment; asks nobody."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        with self._lock:
            waiting = self._waiting
        return PoolFacts(pool.checkedout(), pool.checkedin(), pool.size() + pool._max_overflow, waiting)

    def close(self) -> None:
        """Close all pooled connections."""
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        """For migrations only."""
        return self._engine

    @contextmanager
    def _connect(self, *, read_only: bool) -> Iterator[Connection]:
        if self.is_sqlite:
            self.make_room()
        with self._counted(self._engine.connect) as connection:
            options: dict[str, Any] = {_READ_ONLY: read_only, AUDITED: self.audited}
            if read_only and not self.is_sqlite:  # whose transactions always see one moment
                options["isolation_level"] = "REPEATABLE READ"
            yield connection.execution_options(**options)

    def _counted(self, connect: Callable[[], Connection]) -> Connection:
        with self._lock:
            self._waiting += 1
        try:
            return connect()
        finally:
            with self._lock:
                self._waiting -= 1

    @contextmanager
    def translated(self, *, reading: bool = False) -> Iterator[None]:
        """Driver errors raised inside leave as sweepd's own.

        A lock that others hold for too long is the busy task's where rows are changed, and the database's where they
        are only read.
        """
        try:
            yield
        except exc.DBAPIError as error:
            raise self._translate(error, reading) from error
        except exc.TimeoutError as error:
            raise CatalogUnavailable(f"no free connection to {self.name}; it is tried again") from error

    def _translate(self, error: exc.DBAPIError, reading: bool) -> Exception:
        state = getattr(error.orig, "pgcode", None)
        first_line = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        if state in _UNDEFINED or "no such table" in first_line or "no such column" in first_line:
            return CatalogNotReady(
                f"the database {self.name} lacks something sweepd needs ({first_line}); run: sweepd init"
            )
        if "unable to open database file" in first_line and not Path(self.url.database or "").exists():
            return CatalogNotReady(f"there is no database at {self.name}; run: sweepd init")
        if "database or disk is full" in first_line:
            return CatalogUnavailable(
                f"the disk of {self.name} is full ({first_line}): make room there, or put it on another file system "
                "with catalog.url"
            )
        if state in _LOCKED and reading:
            return CatalogUnavailable(f"a table of {self.name} is locked by another transaction; it is tried again")
        if state in _LOCKED:
            return TaskRefused(
                "another transaction has locked what is needed; try again in a moment", code=ErrorCode.TASK_BUSY
            )
        if state == _FORBIDDEN:
            message = f"the database {self.name} refuses ({first_line}); grant its user what sweepd needs"
            return CatalogNotReady(message, details={"lacks": "rights"})
        if "Could not decode to UTF-8" in first_line:  # SQLite keeps any bytes as text
            return TaskRefused(
                f"a row of {self.name} holds text that is not UTF-8 ({first_line!a}); mend it, and try again"
            )
        unusable = state == _READ_ONLY_SERVER or type(error) is exc.DatabaseError  # a standby; a damaged SQLite file
        unusable |= first_line.startswith("invalid dsn")  # an option in the address that libpq does not know
        if unusable or isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
            return CatalogUnavailable(f"the database {self.name} does not answer ({first_line}); it is tried again")
        if state == _REFERENCED or "FOREIGN KEY" in first_line:  # looked at at COMMIT only
            return TaskRefused(
                f"other data of {self.name} needs these records ({first_line}); deal with it first",
                code=ErrorCode.RECORDS_IN_USE,
            )
        if isinstance(error, exc.IntegrityError | exc.InternalError | exc.DataError | exc.NotSupportedError):
            # a trigger's refusal, say
            return TaskRefused(f"the database {self.name} refuses it ({first_line})")
        return error


def _roll_back(transaction: sa.RootTransaction) -> None:
    with suppress(exc.DBAPIError):  # the connection is gone, and with it the transaction
        transaction.rollback()


def _with_driver(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):  # plain names mean another driver since SQLAlchemy 2.1
        return parsed.set(drivername="postgresql+psycopg2")
    return parsed


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver's own BEGIN loses writers to "database is locked"
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _prepare_postgresql(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    read_unknown_as_none(connection)
    connection.autocommit = True
    cursor = connection.cursor()
    # Row security has to raise an error: rows that were hidden by it would make orphans of their directories.
    cursor.execute(f"SET SESSION lock_timeout = '{_LOCK_TIMEOUT}'; SET SESSION row_security = off")
    cursor.close()
    connection.autocommit = False


def _note_use(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info[_USED_AT] = clock.monotonic()


def _see_alive(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    """A pooled connection that was idle for a while may be gone: then the pool makes another one."""
    if clock.monotonic() - record.info.get(_USED_AT, clock.monotonic()) < _TRUSTED_IDLE_S:
        return
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.close()
        connection.rollback()
    except psycopg2.Error as error:
        raise exc.DisconnectionError(str(error)) from error
