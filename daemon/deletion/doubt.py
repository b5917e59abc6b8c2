"""Which names in the storage root may change hands yet, since something that was cut off is not settled."""

from __future__ import annotations

from daemon.catalog import ledger
from daemon.catalog.catalog import Session
from daemon.catalog.ledger import State
from daemon.deletion import manifest
from daemon.deletion.manifest import Kind
from daemon.storage import standing, trash
from daemon.storage.root import OpenRoot

# What has been moved and committed stays gone; anything else may yet be put back.
_ONWARD = (State.COMMITTED, State.PURGED)


def tasks_in_doubt(session: Session, root: OpenRoot, *, restoring: str | None = None) -> set[str]:
    """Tasks of which a deletion is moved, but not known to be committed, or on its way back; but the one named.

    Also those of which a directory is still being removed where it stands.

    Until recovery has settled it the row must not say that the directory is gone, and its name must not change
    hands. Raises OSError, and what the connection raises.
    """
    doubtful: dict[str, str] = {}
    in_place = ledger.standing(session.connection)
    found = {record.entry.task_id for record in in_place if record.in_place != standing.WAITED}
    for content, held in trash.look(root):
        back = content.get("kind") == Kind.RESTORE
        for deletion_id, task_id in manifest.names(content):
            if back and deletion_id != restoring:
                found.add(task_id)
            elif not back and deletion_id in held:
                doubtful[deletion_id] = task_id
    if doubtful:
        records = ledger.find(session.connection, doubtful)
        for deletion_id, task_id in doubtful.items():
            record = records.get(deletion_id)
            if record is None or record.state not in _ONWARD:
                found.add(task_id)
    return found
