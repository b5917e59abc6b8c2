"""The database: answers, has the right tables and rights, the same time, and has forgotten nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from daemon.app.services import Services
from daemon.catalog import rights
from daemon.catalog.database import Database
from daemon.doctor.findings import Finding, failure, ok, skipped, warning
from daemon.errors import CatalogNotReady, CatalogUnavailable, RootUnavailable, SweepdError


def database(services: Services) -> Iterator[Finding]:
    """The first that fails ends it."""
    catalog = services.catalog
    closed = _out_of_reach(catalog.database)
    if closed is not None:
        hint = f"run this as the daemon's user, whose it has to be: chown USER {closed}; chmod u+rwX {closed}"
        yield failure("database", f"user {os.geteuid()} may not read and write {closed}", hint)
        return
    try:
        catalog.check()
        yield ok("database", f"{catalog.database.name} answers, schema as needed")
    except CatalogUnavailable as error:
        yield failure("database", str(error), "start it; check catalog.url, the password, and what lies in between")
        return
    except CatalogNotReady as error:
        granting = "as the owner: what docs/operations.md lists under PostgreSQL"
        hint = granting if error.details.get("lacks") == "rights" else "sweepd init"
        yield failure("database", str(error), hint)
        return
    with catalog.read() as session:
        lacking = rights.lacking(session.connection, session.tables)
        zone = session.zone
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
