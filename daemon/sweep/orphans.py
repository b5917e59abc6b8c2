"""Task directories that have no row. No policy looks at them; they are shown, so that nobody wonders."""

from __future__ import annotations

from daemon.catalog import tasks
from daemon.catalog.catalog import Catalog
from daemon.storage.root import StorageRoot


def find_orphans(root: StorageRoot, catalog: Catalog) -> list[str]:
    """Return their names, sorted, as a scan counts them: with symbolic links in the place of one.

    Raises RootUnavailable, CatalogUnavailable or CatalogNotReady.
    """
    with root.open() as opened:
        names = sorted(opened.names(links=True))
    with catalog.read() as session:  # after the listing: a task whose row is newer than that is no orphan
        known = tasks.known_ids(session.connection, session.tables, names)
    return [name for name in names if name not in known]
