"""What a scan would have written, from what is on disk."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.storage.identity import look
from support.site import Site
from support.trees import count


def scanned(site: Site, *task_ids: str, ago: timedelta = timedelta(0), **columns: Any) -> None:
    """As if two scans had met these directories, the last of them so long ago."""
    stamp = datetime.now(UTC) - ago
    for task_id in task_ids:
        path = site.path / task_id
        files, directories, size, freed = count(path)
        values: dict[str, Any] = {
            "task_id": task_id,
            "first_seen_at": _stored(site, stamp - timedelta(days=30)),
            "last_seen_at": _stored(site, stamp),
            "sightings": 2,
            "orphan_since": _stored(site, stamp - timedelta(days=30)),
            "orphan_sightings": 2,
            "signature": _signature(path),
            "measured_at": _stored(site, stamp),
            "files": files,
            "directories": directories,
            "size_bytes": size,
            "freed_bytes": freed,
            **columns,
        }
        _insert(site, "sweepd_inventory", values)


def scan(site: Site, *, directories: int, orphans: int, ago: timedelta = timedelta(0)) -> None:
    """A completed scan."""
    stamp = _stored(site, datetime.now(UTC) - ago)
    values: dict[str, Any] = {
        "scan_id": secrets.token_hex(14),
        "started_at": stamp,
        "finished_at": stamp,
        "measured": directories,
    }
    _insert(site, "sweepd_scans", {**values, "directories": directories, "orphans": orphans, "missing": 0})


def swept(site: Site, policy: str, *, considered: int, selected: int = 0, outcome: str = "success") -> None:
    """A sweep that ended just now."""
    stamp = _stored(site, datetime.now(UTC))
    values: dict[str, Any] = {
        "sweep_id": secrets.token_hex(14),
        "policy": policy,
        "trigger": "sweep",
        "mode": "enforce",
    }
    values |= {"outcome": outcome, "started_at": stamp, "finished_at": stamp, "considered": considered}
    values |= {"selected": selected, "deleted": selected, "failed": 0, "dropped": 0, "size_bytes": 0}
    _insert(site, "sweepd_sweeps", values)


def _signature(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return look(fd, "").signature
    finally:
        os.close(fd)


def _insert(site: Site, table: str, values: dict[str, Any]) -> None:
    marks = ", ".join("?" for _ in values)
    site.store.query(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))


def _stored(site: Site, stamp: datetime) -> datetime:
    return stamp.replace(tzinfo=None) if site.store.sqlite else stamp
