"""What the inventory says, read in one transaction: for the command line and for the API."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from daemon.catalog import scans, totals
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.scans import Drift, Drifted, DriftFinder, Scan
from daemon.catalog.totals import Group, Large, Total


@dataclass(frozen=True, slots=True)
class Overview:
    """``scan``: the last complete one, None if there was none yet; then nothing is known of drift either.

    ``groups`` are by status, user and database. ``drift`` says how many there are now of each kind.
    """

    scan: Scan | None
    total: Total
    groups: dict[str, list[Group]]
    largest: list[Large]
    drift: dict[Drift, int] | None

    def to_json(self) -> dict[str, Any]:
        """Sizes in bytes, instants in UTC."""
        return {
            "scan": scan_json(self.scan),
            "total": asdict(self.total),
            **{f"by_{name}": [_group_json(name, group) for group in groups] for name, groups in self.groups.items()},
            "largest": [asdict(one) | {"modified_at": one.modified_at.isoformat()} for one in self.largest],
            "drift": None if self.drift is None else {str(kind): number for kind, number in self.drift.items()},
        }


@dataclass(frozen=True, slots=True)
class DriftList:
    """One kind of drift: how many there are now, and the first of them; None and none before the first scan."""

    kind: Drift
    scan: Scan | None
    total: int | None
    tasks: list[Drifted]

    def to_json(self) -> dict[str, Any]:
        """Sizes in bytes, instants in UTC."""
        return {"scan": scan_json(self.scan), "total": self.total, "tasks": [_drifted(one) for one in self.tasks]}


def overview(catalog: Catalog, largest: int) -> Overview:
    """Everything, and so many of the largest directories. Raises CatalogUnavailable or CatalogNotReady."""
    with catalog.read() as session:
        connection, tables = session.connection, session.tables
        scan, finder = _last(catalog, session)
        return Overview(
            scan,
            totals.total(connection),
            {name: totals.by(connection, tables, name) for name in totals.GROUPS},
            totals.largest(connection, tables, largest),
            None if finder is None else {kind: finder.count(connection, kind) for kind in Drift},
        )


def drift_list(catalog: Catalog, kind: Drift, limit: int | None) -> DriftList:
    """One kind of drift, with so many examples, or with all there is. Raises CatalogUnavailable or CatalogNotReady."""
    with catalog.read() as session:
        scan, finder = _last(catalog, session)
        if finder is None:
            return DriftList(kind, None, None, [])
        connection = session.connection
        return DriftList(kind, scan, finder.count(connection, kind), finder.examples(connection, kind, limit))


def scan_json(scan: Scan | None) -> dict[str, Any] | None:
    """A complete scan."""
    if scan is None or scan.finished_at is None:
        return None
    times = {"started_at": scan.started_at.isoformat(), "finished_at": scan.finished_at.isoformat()}
    return asdict(scan) | times


def _last(catalog: Catalog, session: Session) -> tuple[Scan | None, DriftFinder | None]:
    scan = scans.last_complete(session.connection)
    if scan is None:
        return None, None
    since = catalog.timeline.now(session.connection, scan.started_at)
    return scan, DriftFinder(session.tables, catalog.timeline, since)


def _group_json(name: str, group: Group) -> dict[str, Any]:
    return {name: group.value, "has_row": group.has_row, **asdict(group.total)}


def _drifted(one: Drifted) -> dict[str, Any]:
    seen = None if one.first_seen_at is None else one.first_seen_at.isoformat()
    return asdict(one) | {"first_seen_at": seen}
