"""A person's word that the database as it is now is the one to go on with, though it has forgotten deletions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from daemon import clock, log
from daemon.catalog import continuity, jobs, ledger, tasks
from daemon.catalog.database import until_free
from daemon.catalog.ledger import State
from daemon.catalog.together import together
from daemon.deletion.continuity import Unknown
from daemon.deletion.manifest import Item, Manifest
from daemon.deletion.models import What
from daemon.deletion.purge import Tools
from daemon.storage import durable, marks, trash
from daemon.storage.reserve import with_reserve
from daemon.storage.root import OpenRoot, StorageRoot

_log = log.get(__name__)
_RECORD = "accepted.json"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was done. ``quarantined``: the folder of what waited in the trash; ``jobs``: how many were cancelled."""

    unknown: Unknown
    quarantined: str | None
    jobs: int


def accept(root: StorageRoot, tools: Tools, *, reason: str, by: str) -> Accepted | None:
    """Go on with the database as it is; None if it knows everything. No daemon may be at work meanwhile.

    Removes nothing. What was committed and is being purged enters the journal again, so it goes on; directories that
    wait are put aside, since nobody knows any more whose they are; what was only moved, recovery puts back; jobs that
    this database takes for unfinished are cancelled. Cut off anywhere, it can be repeated. Raises SweepdError, OSError.
    """
    with root.open() as opened:
        unknown = tools.continuity.compare(opened)
        if not unknown:
            return None
        for content, begun in trash.look_for_begun(opened):
            _commit_again(tools, opened, content, unknown.purges & begun)
        quarantined = trash.quarantine_retained(opened, unknown.retained) if unknown.retained else None
        with tools.catalog.write() as session:
            unfinished = jobs.unfinished(session.connection)
            for job in unfinished:
                jobs.cancel(session.connection, job.job_id, by)
            newest = continuity.newest(session.connection)
        record = {"at": clock.now().isoformat(), "by": by, "reason": reason, "unknown": str(unknown)}
        with_reserve(opened, lambda: durable.write_json(opened.state_fd, _RECORD, record))
        marks.write(opened, {kind: newest.get(kind) for kind in marks.KINDS}, sync=True)
        tools.continuity.check(opened)
    _log.warning("database_accepted", initiator=by, reason=reason)
    return Accepted(unknown, quarantined, len(unfinished))


def _commit_again(tools: Tools, root: OpenRoot, content: dict[str, object], ids: frozenset[str] | set[str]) -> None:
    """A purge that has begun proves that its deletion was committed once."""
    manifest = Manifest.from_json(content, str(content.get("entry_id")), root.root_id)
    for item in manifest.items if manifest else ():
        if item.deletion_id in ids:
            _log.error("journal_lost_a_deletion", deletion_id=item.deletion_id, task_ids=[item.task_id])
            until_free(partial(_insert, tools, root, item))


def _insert(tools: Tools, root: OpenRoot, item: Item) -> None:
    with tools.catalog.write() as session:
        tasks.lock(session.connection, session.tables, [item.task_id], ())
        entry = replace(item.entry, purge_after=None)  # it cannot be restored: its purge has begun
        ledger.insert(session.connection, [entry], State.COMMITTED, session.now.utc)
        if root.find(item.task_id) is not None:
            return  # made again since: its row speaks of that one
        if What(item.entry.what).records:
            tasks.delete_records(session.connection, session.tables, [item.task_id])
        else:
            stamp = session.now.stamp
            together(
                session.connection,
                tasks.marking_directory_gone(session.connection, session.tables, [item.task_id], stamp),
            )
