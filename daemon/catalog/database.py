"""Connections and transactions on PostgreSQL and SQLite; driver errors leave here as sweepd's own."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg2
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from daemon import clock
from daemon.catalog import driver_errors, encodings
from daemon.catalog.dates import read_unknown_as_none
from daemon.catalog.driver_errors import LOCKED, state_of
from daemon.errors import CatalogUnavailable, ErrorCode, StartupRefused, TaskRefused
from daemon.metrics.database import PoolFacts

_BUSY_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 5.0
"""How long a lock is waited for, by who holds none that the pipeline may want."""
# A server that has vanished without a word is given up after about a minute, where the kernel would wait for hours.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
_LOOKS = 5
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.2
_T = TypeVar("_T")
_READ_ONLY = "sweepd_read_only"
AUDITED = "sweepd_audited"
_USED_AT = "sweepd_used_at"
# A connection that was used so shortly ago is not asked whether it lives: that would be a tenth of a deletion's time.
_TRUSTED_IDLE_S = 1.0


class CommitUncertain(CatalogUnavailable):
    """The connection failed during COMMIT: the transaction may or may not have happened."""


class Locked(TaskRefused):
    """Another transaction has locked what is needed: the same may succeed in a moment."""

    code = ErrorCode.TASK_BUSY


class Database:
    """One database; ``read`` and ``write`` are the only ways to a connection."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        encodings.use()
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
    def read(self, locking: sa.TextClause | None = None) -> Iterator[Connection]:
        """A transaction that changes nothing, and sees the database as it was at its first statement.

        ``locking`` comes before, and takes its locks without waiting: it is repeated in a new transaction until they
        are free. Raises CatalogUnavailable or CatalogNotReady.
        """
        with self.translated(reading=True), self._connect(read_only=True) as connection:
            begin = partial(_begin, connection, locking)
            with until_free(begin):
                yield connection

    @contextmanager
    def write(self, locking: sa.TextClause | None = None) -> Iterator[Connection]:
        """A transaction that commits at the end and rolls back on any error; ``locking`` as ``read`` has it.

        Raises CatalogUnavailable or CatalogNotReady if nothing was changed, CommitUncertain if that is not known.
        """
        with self.translated(), self._connect(read_only=False) as connection:
            transaction = until_free(partial(_begin, connection, locking))
            try:
                yield connection
            except BaseException:
                _roll_back(transaction)
                raise
            try:
                transaction.commit()
            except exc.DBAPIError as error:
                lost = error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError)
                if lost and state_of(error) not in LOCKED:  # a constraint or trigger that is only looked at now
                    raise CommitUncertain(f"the connection to {self.name} failed during COMMIT") from error
                raise

    def check_sessions(self) -> None:
        """Raises StartupRefused if a pooler gives each transaction another connection to the server.

        No lock and no setting would outlast a transaction then. Two connections at once that are one to the server,
        and one that is another one each time, prove it. Raises CatalogUnavailable.
        """
        if self.is_sqlite:
            return
        pid = sa.select(sa.func.pg_backend_pid())
        with self.translated(), self._engine.connect() as one, self._engine.connect() as other:
            alone = one.execution_options(isolation_level="AUTOCOMMIT")
            seen: set[int] = set()
            for _ in range(_LOOKS):
                # twice: two connections of the server's that take turns would come out even
                seen |= {alone.execute(pid).scalar_one(), alone.execute(pid).scalar_one()}
                with other.begin():
                    shared = other.execute(pid).scalar_one() in seen
                if shared or len(seen) > 1:
                    raise StartupRefused(
                        f"a pooler between here and {self.name} pools by transaction, so no lock of sweepd's lasts: "
                        "set pool_mode = session there for sweepd's user, or let catalog.url lead to PostgreSQL itself"
                    )

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
        except UnicodeEncodeError as error:  # SQLite takes no half of a surrogate pair
            raise TaskRefused(
                f"{ascii(error.object)[:80]} is not Unicode text, and {self.name} takes no other"
            ) from error
        except exc.TimeoutError as error:
            raise CatalogUnavailable(
                f"every connection of this process to {self.name} is in use; try again in a moment"
            ) from error

    def _translate(self, error: exc.DBAPIError, reading: bool) -> Exception:
        if state_of(error) in LOCKED and reading:
            return CatalogUnavailable(f"another transaction has locked a table of {self.name}; try again in a moment")
        if state_of(error) in LOCKED:
            return Locked("another transaction has locked what is needed; try again in a moment")
        return driver_errors.translated(error, self.url, self.name) or error


def until_free(work: Callable[[], _T], may_repeat: Callable[[], bool] = lambda: True) -> _T:
    """What ``work`` returns: a whole transaction, which waits for no lock of the pipeline's.

    It is repeated while others have what it needs, for as long as a lock is waited for: who waits holds nothing then,
    and is in nobody's way. Raises as ``work`` does, and its last error if that time is over or it may not be repeated.
    """
    deadline = clock.monotonic() + LOCK_TIMEOUT_S
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return work()
        except (Locked, exc.OperationalError) as error:
            locked = isinstance(error, Locked) or state_of(error) in LOCKED
            if not locked or not may_repeat() or clock.monotonic() + pause > deadline:
                raise
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 -- so that two of them come at different times
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def _begin(connection: Connection, locking: sa.TextClause | None) -> sa.RootTransaction:
    transaction = connection.begin()
    if locking is not None:
        try:
            connection.execute(locking)
        except BaseException:
            _roll_back(transaction)
            raise
    return transaction


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
    encodings.agree(connection)
    cursor = connection.cursor()
    # Row security has to raise an error: rows that were hidden by it would make orphans of their directories.
    cursor.execute(f"SET SESSION lock_timeout = {round(LOCK_TIMEOUT_S * 1000)}; SET SESSION row_security = off")
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
