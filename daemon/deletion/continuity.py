"""Notices that the database has forgotten deletions: that it was put back from a backup, or is another one.

Its rows are then no ground to delete on, and the trash cannot be settled by it: what it does not know it would undo.
So nothing is deleted, purged, restored or recovered until the right database is back, or a person has accepted this
one (``deletion.acceptance``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from daemon import log
from daemon.catalog import continuity
from daemon.catalog.catalog import Catalog, Session
from daemon.deletion import manifest
from daemon.errors import CatalogRolledBack, RootUnavailable
from daemon.metrics.registry import Metrics
from daemon.storage import marks, retained, standing, trash
from daemon.storage.root import OpenRoot

_log = log.get(__name__)
_ADVICE: Final = (
    "was it restored from a backup? nothing is deleted until the right database is back, or this one is accepted; "
    "see docs/operations.md, then: sweepd accept-database"
)
# What waits may be any number; what an older database lacks is the newest of it.
_NEWEST: Final = 500


@dataclass(frozen=True, slots=True)
class Unknown:
    """What the storage root proves to have been committed and the database does not know: ids."""

    marks: dict[str, str] = field(default_factory=dict)
    retained: frozenset[str] = frozenset()
    purges: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.marks or self.retained or self.purges)

    def __str__(self) -> str:
        said = [f"{kind} {known}" for kind, known in sorted(self.marks.items())]
        said += [f"{len(ids)} in {where}" for where, ids in self._folders() if ids]
        return ", ".join(said)

    def _folders(self) -> Iterable[tuple[str, frozenset[str]]]:
        return ((".sweepd/retained", self.retained), (".sweepd/trash", self.purges))


class Continuity:
    """Of one database and its storage root. Thread-safe."""

    def __init__(self, catalog: Catalog, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._problem: str | None = None
        self._durable: dict[str, str] = {}

    def require(self, session: Session, root: OpenRoot) -> None:
        """Before the first change of a transaction that deletes, purges or restores.

        One look at the marks for each new connection, and nothing afterwards. Raises CatalogRolledBack.
        """
        if self._problem is not None:
            raise CatalogRolledBack(self._problem)
        if not continuity.compared(session.connection):
            seen = marks.read(root)  # first: whatever it says was committed before the query
            self._tell(Unknown(marks=_unknown_marks(session, seen)))
            continuity.note_compared(session.connection)

    def committed(self, root: OpenRoot, deletion_id: str) -> None:
        """Remember a deletion whose COMMIT was answered. Never raises: the deletion is as good without."""
        if not root.marked:
            return
        try:
            marks.write(root, {continuity.DELETION: deletion_id})
        except OSError as error:
            _log.warning("mark_failed", reason=str(error))

    def check(self, root: OpenRoot, *, thoroughly: bool = True) -> None:
        """Compare the root with the database; ``thoroughly``: also what lies in its folders. Clears what has passed.

        Raises CatalogRolledBack, CatalogUnavailable, CatalogNotReady and RootUnavailable.
        """
        self._tell(self.compare(root, thoroughly=thoroughly or self._problem is not None))

    def compare(self, root: OpenRoot, *, thoroughly: bool = True) -> Unknown:
        """What the database does not know. Raises as ``check`` does, but for CatalogRolledBack."""
        try:
            seen = marks.read(root)
            waiting = retained.newest(root, _NEWEST) if thoroughly else []
            purges = _begun(root) if thoroughly else set()
        except OSError as error:
            raise RootUnavailable(f"what the storage root has seen cannot be read: {error}; see its disk") from error
        with self._catalog.read() as session:
            return Unknown(
                marks=_unknown_marks(session, seen),
                retained=frozenset(continuity.unknown(session.connection, continuity.DELETION, waiting)),
                purges=frozenset(continuity.unknown(session.connection, continuity.DELETION, purges)),
            )

    def advance(self, root: OpenRoot) -> None:
        """Make the marks durable, and bring those up to date that deletions do not set. Raises as ``check`` does."""
        with self._catalog.read() as session:
            newest = continuity.newest(session.connection)
        try:
            seen = marks.read(root)
            if not root.marked:
                return
            # Set at its commit; the greatest id may be an older one, of a day when the clock was wrong.
            current = {**newest, **{kind: seen[kind] for kind in (continuity.DELETION,) if kind in seen}}
            if self._problem is None and current != self._durable:
                marks.write(root, current, sync=True)
                self._durable = current
        except OSError as error:
            _log.warning("mark_failed", reason=str(error))

    def _tell(self, unknown: Unknown) -> None:
        problem = f"the database does not know what the storage root has seen ({unknown}): {_ADVICE}"
        self._problem = problem if unknown else None
        self._metrics.health.rolled_back(bool(unknown))
        if self._problem is not None:
            raise CatalogRolledBack(self._problem)


def _unknown_marks(session: Session, seen: dict[str, str]) -> dict[str, str]:
    return {kind: known for kind, known in seen.items() if continuity.unknown(session.connection, kind, [known])}


def _begun(root: OpenRoot) -> set[str]:
    """Deletions of readable entries whose purge has begun, which it does after their commit only."""
    found = standing.begun(root)
    for content, begun in trash.look_for_begun(root):
        found |= begun & {deletion_id for deletion_id, _ in manifest.names(content)}
    return found
