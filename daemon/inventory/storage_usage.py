"""How the storage is used, from the inventory, the journal and the file system's own figures; nothing is walked."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from daemon.catalog import totals, trashed
from daemon.catalog.catalog import Catalog
from daemon.catalog.trashed import Waiting
from daemon.errors import SweepdError
from daemon.inventory.overview import overview
from daemon.storage import space
from daemon.storage.root import StorageRoot


def storage_usage(catalog: Catalog, root: StorageRoot) -> dict[str, Any]:
    """By user, database, status and age, with trash and drift; sizes in bytes, instants in UTC.

    Raises CatalogUnavailable or CatalogNotReady.
    """
    found = overview(catalog, 0).to_json()
    del found["largest"]
    with catalog.read() as session:
        ages = totals.by_age(session.connection, session.tables, catalog.timeline, session.now)
        waiting = trashed.total(session.connection)
    by_age = [{"age": age, **asdict(total)} for age, total in ages]
    return {**found, "by_age": by_age, "trash": _trash(waiting), "file_system": _file_system(root)}


def _trash(waiting: Waiting) -> dict[str, Any]:
    stamps = {
        name: None if stamp is None else stamp.isoformat(timespec="seconds")
        for name, stamp in (("oldest_at", waiting.oldest_at), ("next_purge_at", waiting.next_purge_at))
    }
    return {**asdict(waiting), **stamps}


def _file_system(root: StorageRoot) -> dict[str, Any] | None:
    """None if the storage root is not there."""
    try:
        with root.open() as opened:
            found = space.look(opened.fd)
    except (SweepdError, OSError):  # the daemon's readiness says why
        return None
    return {**asdict(found), "free_bytes": found.size_bytes - found.used_bytes}
