"""One daemon for one catalog, wherever it runs: a lock that PostgreSQL holds as long as its connection lives."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from daemon.catalog.database import Database

_CLASS: Final = 0x53575044  # "SWPD": apart from locks of other programs


class DaemonLock:
    """The lock of one storage root. On SQLite, a file of this machine, the lock on the root itself is enough.

    Needs a session of its own: a pooler between here and PostgreSQL has to work by session, not by transaction.
    """

    def __init__(self, database: Database, root_id: str) -> None:
        self._database = database
        self._key = zlib.crc32(root_id.encode()) - 2**31
        self._connection: Connection | None = None

    def hold(self) -> bool:
        """Take the lock, or see that it is still held; False if another daemon has it.

        Raises CatalogUnavailable or CatalogNotReady.
        """
        if self._database.is_sqlite:
            return True
        if self._connection is not None:
            try:
                self._connection.execute(sa.text("SELECT 1"))
                return True
            except exc.DBAPIError:  # the connection is gone, and the lock with it
                self.release()
        with self._database.translated():
            connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                statement = sa.text("SELECT pg_try_advisory_lock(:class, :key)")
                taken = bool(connection.execute(statement, self._names()).scalar_one())
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
            if not taken:
                connection.close()
                return False
        self._connection = connection
        return True

    def release(self) -> None:
        """Give the lock up; never raises."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # A server that is told lets go before the answer; one that is only left, later. A connection that is known to
        # be lost fails with an error of SQLAlchemy's own, not the driver's.
        with suppress(exc.SQLAlchemyError):
            connection.execute(sa.text("SELECT pg_advisory_unlock(:class, :key)"), self._names())
        connection.invalidate()  # closes it for good, instead of giving it back to the pool with the lock
        connection.close()

    def _names(self) -> dict[str, int]:
        return {"class": _CLASS, "key": self._key}
