"""Whether database and storage root belong together: whether rows have their directories, and directories rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from daemon.catalog import figures
from daemon.catalog.catalog import Catalog
from daemon.storage import faults, listing
from daemon.storage.root import OpenRoot, StorageRoot

LEAST: Final = 10
"""So many rows without their directory and directories without a row together make a mismatch."""

_SAMPLE: Final = 100
_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class Pairing:
    """``rows``: tasks that have a directory by their rows, ``missing`` of which have none.

    ``directories``: what there is in the storage root, ``orphans`` of which have no row. ``examples``: one of each.
    """

    rows: int
    missing: int
    directories: int
    orphans: int
    examples: tuple[str, str]

    @property
    def is_mismatch(self) -> bool:
        """Whether most of the rows lack their directory, and most of the directories a row."""
        most = 2 * self.missing > self.rows and 2 * self.orphans > self.directories
        return most and self.missing + self.orphans >= LEAST

    def __str__(self) -> str:
        return (
            f"{self.missing} of {self.rows} tasks lack the directory that their rows speak of (such as "
            f"{faults.printable(self.examples[0])}), and {self.orphans} of {self.directories} directories have no row "
            f"(such as {self.examples[1]})"
        )


def mismatch(catalog: Catalog, root: StorageRoot, *, thorough: bool) -> Pairing | None:
    """Return what there is if database and storage root do not belong together, else None.

    Unless ``thorough``, only the oldest and newest tasks are looked at as long as most of these have their directory.
    Raises RootUnavailable, CatalogUnavailable, CatalogNotReady or OSError.
    """
    with root.open() as opened:
        missing = _missing_of_sample(catalog, opened)
        if missing is None and not thorough:
            return None
        found = _count(catalog, opened, missing or "")
    return found if found is not None and found.is_mismatch else None


def _missing_of_sample(catalog: Catalog, root: OpenRoot) -> str | None:
    """Return one of the tasks without their directory, if that is at least half of some; else None."""
    with catalog.read() as session:
        connection, tables = session.connection, session.tables
        newest = figures.some_with_directory(connection, tables, _SAMPLE, newest=True)
        oldest = figures.some_with_directory(connection, tables, _SAMPLE, newest=False)
    names = dict.fromkeys([*newest, *oldest])
    absent = [name for name in names if listing.is_absent(root, name)]
    return absent[0] if absent and 2 * len(absent) >= len(names) else None


def _count(catalog: Catalog, root: OpenRoot, missing: str) -> Pairing | None:
    """Count all of them; None as soon as half of the rows have their directory."""
    with catalog.read() as session:
        rows = figures.rows_with_directory(session.connection, session.tables)
    directories = known = present = 0
    orphan = ""
    listed = root.names(links=True)
    while names := list(islice(listed, _AT_ONCE)):
        with catalog.read() as session:
            found = figures.with_row(session.connection, session.tables, names)
        directories += len(names)
        known += len(found)
        present += sum(found.values())
        orphan = orphan or next((name for name in names if name not in found), "")
        if 2 * present >= rows:
            return None
    return Pairing(rows, rows - present, directories, directories - known, (missing, orphan))
