"""End a long read from another thread, when nobody waits for its result any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.engine import Connection

from daemon.errors import CatalogUnavailable

_AGAIN_S: Final = 0.2


class Interruption:
    """One read at most. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = False
        self._over = threading.Event()
        self._end: Callable[[], None] | None = None

    def check(self) -> None:
        """Raises CatalogUnavailable once the end is wanted: between two statements there is nothing to interrupt."""
        if self._wanted:
            raise CatalogUnavailable("nobody waits for it any more: interrupted")

    def interrupt(self) -> None:
        """Want the end, and wait for it: blocks until the read is over, if it has begun."""
        with self._lock:
            self._wanted = True
            begun = self._end is not None
        while begun and not self._over.is_set():
            with self._lock:
                if self._end is not None:
                    self._end()
            self._over.wait(_AGAIN_S)  # it may have been between two statements

    @contextmanager
    def watching(self, connection: Connection) -> Iterator[None]:
        """Let the statements of this connection be interrupted meanwhile."""
        driver = connection.connection.dbapi_connection
        assert driver is not None
        end = getattr(driver, "interrupt", None) or driver.cancel  # of sqlite3, of psycopg2
        with self._lock:
            self.check()
            self._end = end
        try:
            yield
        finally:
            with self._lock:  # an interruption under way is for nobody else who gets the connection
                self._end = None
            self._over.set()
