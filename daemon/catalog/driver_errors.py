"""What the database's refusals and failures mean: one table from its codes to sentences that say what to do.

No sentence promises that anything is tried again: whoever does so says so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc

from daemon.errors import CatalogNotReady, CatalogUnavailable, ErrorCode, SweepdError, TaskRefused

LOCKED: Final = frozenset({"55P03", "40P01", "40001"})
"""SQLSTATE of what may succeed in a moment, with nothing changed: lock not available, deadlock, serialization."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html. A class stands for all codes that begin with it.
_NOT_READY: Final = {
    "42P01": "lacks something sweepd needs; run: sweepd init",  # undefined table
    "42703": "lacks something sweepd needs; run: sweepd init",  # undefined column
    "3F": "has no schema where sweepd's tables can be looked for or made; as its owner: CREATE SCHEMA, or "
    "ALTER ROLE … SET search_path TO one that there is and that the user may use",
    "42501": "refuses it to its user; grant what sweepd needs: sweepd doctor names it",  # insufficient privilege
    "28": "does not let this user in; check user and password in catalog.url",  # invalid authorization
    "3D": "is not there; check the database's name in catalog.url",  # invalid catalog name
    "42P07": "has something of that name already that is not sweepd's; rename it, then run: sweepd init",
    "42710": "has something of that name already that is not sweepd's; rename it, then run: sweepd init",
    "0A": "cannot do what sweepd needs; sweepd needs PostgreSQL 12 or newer, and tables of its own kind",
    "42": "does not understand what sweepd asks: the pipeline's tables are not as sweepd knows them; sweepd doctor "
    "looks at them",
}
_UNAVAILABLE: Final = {
    "25006": "takes no changes: it is a standby, or has default_transaction_read_only set",
    "25P03": "ended a transaction by idle_in_transaction_session_timeout; raise it for sweepd's user",
    "25P04": "ended a transaction by transaction_timeout; raise it for sweepd's user",
    "53100": "has no space left on its disk; make room there",
    "53300": "has no connection left; raise max_connections, or close some",
    "53": "has run out of what it needs; look into its log",
    "57014": "gave a statement up, by statement_timeout or because somebody cancelled it; for sweepd's user: "
    "ALTER ROLE … SET statement_timeout = 0",
    "57P05": "ended a connection by idle_session_timeout; raise it for sweepd's user",
    "57": "is starting or stopping",
    "58": "reports a failure of its own; look into its log",
    "XX": "reports a failure of its own; look into its log",
    "F0": "reports a failure of its own; look into its log",
    "08": "lost the connection",
}


def state_of(error: exc.DBAPIError) -> str | None:
    """PostgreSQL's code of five letters; None on SQLite, and if no answer came."""
    return getattr(error.orig, "pgcode", None)


def first_line(error: exc.DBAPIError) -> str:
    """What the driver says, without where in which statement."""
    said = str(error.orig).strip()
    return said.splitlines()[0] if said else type(error.orig).__name__


def translated(error: exc.DBAPIError, url: sa.URL, name: str) -> SweepdError | None:
    """The error as sweepd's own; None for a mistake of sweepd's. Locks are the caller's matter."""
    state, said = state_of(error), first_line(error)
    if state is None:
        found = _of_sqlite(said, url, name) if url.get_backend_name() == "sqlite" else _of_connection(error, said, name)
        if found is not None:
            return found
    if state in ("23503",) or "FOREIGN KEY" in said:  # looked at at COMMIT only
        return TaskRefused(
            f"other data of {name} needs these records ({said}); deal with it first", code=ErrorCode.RECORDS_IN_USE
        )
    for sentences, kind in ((_NOT_READY, CatalogNotReady), (_UNAVAILABLE, CatalogUnavailable)):
        sentence = sentences.get(state or "", sentences.get((state or "")[:2]))
        if sentence is not None:
            details = {"lacks": "rights"} if state == "42501" else {}
            return kind(f"the database {name} {sentence} ({said})", details=details)
    if isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated:
        return CatalogUnavailable(f"the database {name} does not answer ({said})")
    if isinstance(error, exc.IntegrityError | exc.InternalError | exc.DataError | exc.NotSupportedError):
        return TaskRefused(f"the database {name} refuses it ({said})")  # a trigger's refusal, say
    return None


def _of_sqlite(said: str, url: sa.URL, name: str) -> SweepdError | None:
    if "no such table" in said or "no such column" in said:
        return CatalogNotReady(f"the database {name} lacks something sweepd needs ({said}); run: sweepd init")
    if "unable to open database file" in said and not Path(url.database or "").exists():
        return CatalogNotReady(f"there is no database at {name}; run: sweepd init")
    if "Could not decode to UTF-8" in said:  # SQLite keeps any bytes as text
        return TaskRefused(f"a row of {name} holds text that is not UTF-8 ({said!a}); mend it, and try again")
    if "database is locked" in said or "database table is locked" in said:
        return CatalogUnavailable(f"another process has locked the database {name} for too long ({said})")
    if "attempt to write a readonly database" in said:
        return CatalogUnavailable(f"the database {name} cannot be written by this user ({said})")
    if "is full" in said or "disk I/O error" in said:
        return CatalogUnavailable(f"the database {name} cannot be written ({said}); look at its disk")
    if "malformed" in said or "not a database" in said:
        return CatalogUnavailable(f"the file of {name} is damaged, or no database ({said})")
    return None


def _of_connection(error: exc.DBAPIError, said: str, name: str) -> SweepdError | None:
    """libpq tells no code of what was refused before there was a connection."""
    if said.startswith("invalid dsn") or "invalid connection option" in said:
        return CatalogUnavailable(f"catalog.url of {name} cannot be used ({said})")
    if isinstance(error, exc.OperationalError) and "FATAL:" in said:
        wrong = re.search("authentication|does not exist|pg_hba.conf|not permitted|no password|permission denied", said)
        hint = "; check user, password and database in catalog.url" if wrong else ""
        return CatalogUnavailable(f"the server of {name} refuses the connection ({said}){hint}")
    return None
