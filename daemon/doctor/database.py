"""The database: answers, has the right tables and rights, the same time, and has forgotten nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from daemon.app.services import Services
from daemon.catalog import encodings, pipeline_schema, rights, scans, setup
from daemon.catalog.database import Database
from daemon.catalog.scans import Drift
from daemon.doctor.findings import Finding, failure, ok, skipped, warning
from daemon.errors import CatalogNotReady, CatalogUnavailable, RootUnavailable, StartupRefused, SweepdError


def database(services: Services) -> Iterator[Finding]:
    """The first that fails ends it."""
    catalog = services.catalog
    closed = _out_of_reach(catalog.database)
    if closed is not None:
        hint = f"run this as the daemon's user, whose it has to be: chown USER {closed}; chmod u+rwX {closed}"
        yield failure("database", f"user {os.geteuid()} may not read and write {closed}", hint)
        return
    try:
        setup.look_at_pipeline(catalog.database)  # as init does: what it would refuse is told first
        catalog.check(thoroughly=True)
        yield ok("database", f"{catalog.database.name} answers, schema as needed")
        catalog.database.check_sessions()
        yield ok("sessions", "a connection stays one session: a lock lasts as long as it")
    except StartupRefused as error:
        found, _, remedy = str(error).partition(": ")
        yield failure("sessions", found, remedy)
    except CatalogUnavailable as error:
        yield failure("database", str(error), "start it; check catalog.url, the password, and what lies in between")
        return
    except CatalogNotReady as error:
        hint = "as the owner: what docs/operations.md lists under PostgreSQL"
        if error.details.get("lacks") != "rights":
            hint = "sweepd init" if "sweepd init" in str(error) else "change what it names"
        yield failure("database", str(error), hint)
        return
    with catalog.read() as session:
        lacking = rights.lacking(session.connection, session.tables)
        tables = session.tables.found
        remarks = list(pipeline_schema.remarks(session.connection, tables, catalog.running_statuses))
        encoding = encodings.name_of(session.connection)
        zone = session.zone
        drift = {} if lacking else scans.differing(session.connection, session.tables, catalog.timeline)
    if encoding is None:
        yield ok("encoding", "the database keeps all text")
    else:
        found = f"the database's encoding is {encoding}: text that it has no characters for is kept as escapes"
        if encoding == "SQL_ASCII":
            found = "the database's encoding is SQL_ASCII: its text is taken to be UTF-8, and the rest shown as escapes"
        yield warning("encoding", found, "for other text than that: a database of UTF8, filled by pg_dump of this one")
    for remark, hint in remarks:
        yield warning("pipeline", remark, hint)
    if not remarks:
        yield ok("pipeline", "its tables are such that every column is read as it is meant")
    if lacking:
        grants = "; ".join(f"GRANT {', '.join(verbs)} ON {table} TO its role" for table, verbs in lacking.items())
        yield failure("rights", f"the database's user lacks rights on {', '.join(lacking)}", grants)
    else:
        yield ok("rights", "the pipeline's tables and sweepd's own can be read and changed")
    if services.config.catalog.timezone is None and not catalog.database.is_sqlite:
        hint = "if the pipeline writes in another zone, set catalog.timezone: ages are measured by it"
        yield warning("time zone", f"the pipeline's timestamps are taken to be in {zone}", hint)
    else:
        yield ok("time zone", f"the pipeline's timestamps are in {zone}")
    if unnamed := drift.get(Drift.UNNAMED):
        hint = "no policy looks at them; sweepd inventory lists them: correct their ids, or delete these rows"
        yield warning("task ids", f"{unnamed} rows have a task id that can name no directory", hint)
    if returned := drift.get(Drift.RETURNED):
        hint = "sweepd inventory --scan puts the rows right; what it leaves is no directory, or is locked: look at it"
        yield warning("rows", f"{returned} rows say that their directory is gone, and something has its name", hint)
    try:
        problem = services.clock_guard.problem()
    except RootUnavailable:
        yield skipped("clock", "when it was believed last is kept in the storage root, which is not there")
        return
    if problem is not None:
        yield failure("clock", problem, "timedatectl set-ntp true, on this machine and on the database's")
    else:
        skew, _ = services.clock_guard.look()
        yield ok("clock", f"{abs(skew.total_seconds()):.1f} s from the database's")


def _out_of_reach(database: Database) -> Path | None:
    """The first of SQLite's files, or their folder, that this user may not change: SQLite does not say which."""
    file = database.url.database or ""
    if not database.is_sqlite or not os.path.exists(file):
        return None
    files = [Path(file + suffix) for suffix in ("", "-wal", "-shm") if os.path.exists(file + suffix)]
    reach = {Path(file).parent: os.W_OK | os.X_OK, **dict.fromkeys(files, os.R_OK | os.W_OK)}
    return next((path for path, wanted in reach.items() if not os.access(path, wanted)), None)


def journal(services: Services) -> Iterator[Finding]:
    """Whether the database knows what the storage root has seen."""
    try:
        with services.root.open() as root:
            forgotten = services.continuity.compare(root)
    except SweepdError:
        yield skipped("journal", "database and storage root have to be there to be compared")
        return
    if forgotten:
        yield failure(
            "journal",
            f"the database does not know what the storage root has seen ({forgotten})",
            "put the newest backup back, or read docs/operations.md, then: sweepd accept-database",
        )
    else:
        yield ok("journal", "the database knows every deletion that the storage root has seen")
