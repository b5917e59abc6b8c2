"""What has to be true of the world before a policy may delete anything: signs that the catalog is not what it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from daemon.catalog import figures
from daemon.catalog.catalog import Catalog, Session
from daemon.errors import ErrorCode, SweepRefused
from daemon.policy.models import Policy, PolicySet
from daemon.policy.values import format_duration
from daemon.storage.root import StorageRoot
from daemon.sweep import pairing
from daemon.sweep.limits import Breach
from daemon.sweep.plan import Plan

LEAST_ROWS: Final = 0.5
"""The share of the rows that the last sweep looked at which have to be there still."""

ORPHANS_FROM: Final = 20
"""With fewer orphans than these no jump is one."""

ORPHAN_SHARE: Final = 0.2
"""Of all directories; beyond it the orphans may not have doubled."""

MISSING_FROM: Final = 10
"""So many rows whose directory should be there make an empty storage root odd."""

OLDEST_SCAN: Final = timedelta(hours=48)
"""Orphans, and how much a user has, are what scans saw: an older one is no ground to delete on."""

_ADVICE: Final = "see that catalog.url names the right database and that it is complete"


APART: Final = (
    "database and storage root do not belong together, and no policy deletes anything; see that catalog.url and "
    "storage.root name the same installation, and that both write task ids alike. If they do belong together, delete "
    "the tasks without a directory by hand: sweepd delete TASK"
)


def check_catalog(catalog: Catalog, root: StorageRoot, policies: PolicySet, policy: Policy) -> None:
    """Raises SweepRefused if tasks table and storage root cannot belong together; RootUnavailable, CatalogUnavailable.

    CATALOG_EMPTY: no row while the root holds directories, or fewer than half of the rows that the last sweep looked
    at. What sweepd deleted itself since is not missed. A sweep in mode observe takes the number it finds as the new
    one. ROOT_UNAVAILABLE: no directory while rows say that theirs are there, which would all be told as deleted.
    CATALOG_MISMATCH: most rows lack their directory, and most directories a row.
    """
    with catalog.read() as session:
        rows = figures.task_rows(session.connection, session.tables)
        expected = _expected_rows(session, policies, policy)
    with root.open() as opened:
        found = next(opened.names(), None)
    if rows == 0 and found is not None:
        message = f"the tasks table is empty, but the storage root holds directories ({found}): nothing is deleted; "
        raise SweepRefused(message + _ADVICE, code=ErrorCode.CATALOG_EMPTY)
    if found is None and policy.action.what != "records":
        _see_that_none_is_missing(catalog, root)
    if rows < expected * LEAST_ROWS:
        raise SweepRefused(
            f"the tasks table has {rows} rows, at least {expected} were there at the last sweep: nothing is deleted; "
            f"{_ADVICE}, or if so few are right, sweep once with mode: observe",
            code=ErrorCode.CATALOG_EMPTY,
        )
    found_apart = pairing.mismatch(catalog, root, thorough=policy.source == "orphans")
    if found_apart is not None:
        raise SweepRefused(f"{found_apart}: {APART}", code=ErrorCode.CATALOG_MISMATCH)


def orphan_breaches(session: Session, plan: Plan) -> list[Breach]:
    """Why orphans may not be deleted: the scans are too old, or there are suddenly far too many of them."""
    too_old = scan_breaches(session)
    if too_old:
        return too_old
    scans = figures.last_scans(session.connection, 2)
    now, directories = plan.considered, figures.directories(session.connection)
    last = figures.last_sweep(session.connection, [plan.policy.name])
    before = last.considered if last is not None else scans[-1].orphans if len(scans) > 1 else 0
    if now < ORPHANS_FROM or now <= directories * ORPHAN_SHARE or now <= 2 * before:
        return []
    message = (
        f"{now} of {directories} directories have no row, {before} had none before: {_ADVICE}, or if they are orphans "
        "indeed, sweep once with mode: observe"
    )
    return [Breach("orphan_share", 0, message)]


def scan_breaches(session: Session) -> list[Breach]:
    """Why what the scans say is no ground to delete on: the last complete one is too old, or there is none."""
    scans = figures.last_scans(session.connection, 1)
    if not scans:
        return [Breach("scan_age", 0, "no scan of the storage root has been completed yet")]
    age = session.now.utc - scans[0].finished_at
    if age <= OLDEST_SCAN:
        return []
    message = f"the last complete scan of the storage root is {format_duration(age)} old, at most "
    return [Breach("scan_age", 0, f"{message}{format_duration(OLDEST_SCAN)} are believed")]


def _expected_rows(session: Session, policies: PolicySet, policy: Policy) -> int:
    names = [policy.name] if policy.source == "tasks" else [p.name for p in policies.policies if p.source == "tasks"]
    last = figures.last_sweep(session.connection, names) if names else None
    if last is None:
        return 0
    return last.considered - figures.records_deleted_since(session.connection, last.started_at)


def _see_that_none_is_missing(catalog: Catalog, root: StorageRoot) -> None:
    with catalog.read() as session:
        missing = figures.rows_with_directory(session.connection, session.tables)
    if missing >= MISSING_FROM:
        raise SweepRefused(
            f"the storage root {root.path} is empty, but {missing} tasks have their directory there by their rows: "
            "nothing is deleted; put the right file system there (sweepd init --replace-root adopts another one), or "
            "if they are gone for good, delete these tasks by hand: sweepd delete",
            code=ErrorCode.ROOT_UNAVAILABLE,
        )
