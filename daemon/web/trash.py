"""``POST …/tasks/{task_id}/restore``, the trash, and what is being purged now."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from daemon.catalog import ledger
from daemon.catalog.ledger import Record
from daemon.deletion.progress import Watched
from daemon.deletion.restore import Restored
from daemon.storage.names import check_task_id
from daemon.web import answers, bodies
from daemon.web.bodies import RestoreBody
from daemon.web.body import read_json
from daemon.web.caller import caller
from daemon.web.context import ApiContext
from daemon.web.health import require_recovered
from daemon.web.idempotency import Idempotency, Key
from daemon.web.work import Workers


class Trash:
    """The three handlers."""

    def __init__(self, context: ApiContext, workers: Workers, idempotency: Idempotency) -> None:
        self._context = context
        self._workers = workers
        self._idempotency = idempotency

    async def restore(self, request: web.Request) -> web.Response:
        """Undo the latest deletion of the task, or the one the body names."""
        require_recovered(self._context)
        values = await read_json(request, optional=True)
        body = bodies.check(RestoreBody, values)
        task_id, initiator = request.match_info["task_id"], caller(request).initiator

        async def perform(key: Key) -> web.Response:
            restored = await self._workers.delete(lambda: self._restore(task_id, body.deletion_id, initiator, key))
            return answers.success(
                request, "TASK_RESTORED", data={"task_id": task_id, "restored": [_restored(one) for one in restored]}
            )

        return await self._idempotency.run(request, values, perform)

    def _restore(self, task_id: str, chosen: str | None, initiator: str, key: Key) -> list[Restored]:
        restorer = self._context.restorer
        if key.begun_before and key.begun_at is not None:
            check_task_id(task_id)
            done = self._done_since(task_id, chosen, initiator, key.begun_at)
            if done:
                return done
        if chosen is None:
            return restorer.restore_task(task_id, initiator)
        return [restorer.restore(chosen, initiator, task_id=task_id)]

    def _done_since(self, task_id: str, chosen: str | None, initiator: str, since: datetime) -> list[Restored]:
        """What this initiator has brought back since then, unless it was deleted anew: that is to be restored."""
        with self._context.catalog.read() as session:
            records = ledger.restored_since(session.connection, task_id, initiator, since)
            last = ledger.last_of_task(session.connection, task_id)
        if chosen is None and last not in records:
            return []
        entries = [record.entry for record in records if chosen in (None, record.entry.deletion_id)]
        return [Restored(task_id, e.deletion_id, e.directory_deleted, e.records_deleted) for e in entries]

    async def waiting(self, request: web.Request) -> web.Response:
        """What waits in the trash, the first to be purged first."""
        records = await self._workers.read(self._context.retention.waiting)
        data = {"deletions": [_waiting(record) for record in records], "total": len(records)}
        return answers.success(request, "TRASH_LISTED", data=data)

    async def purges(self, request: web.Request) -> web.Response:
        """How far the purges under way are."""
        data = {"purges": [_progress(watched) for watched in self._context.purges.running()]}
        return answers.success(request, "PURGES_LISTED", data=data)


def _restored(restored: Restored) -> dict[str, object]:
    return {
        "deletion_id": restored.deletion_id,
        "directory_restored": restored.directory,
        "database_records_restored": restored.records,
    }


def _waiting(record: Record) -> dict[str, object]:
    entry, counts = record.entry, record.counts
    assert entry.purge_after is not None  # or it would not wait
    return {
        "deletion_id": entry.deletion_id,
        "task_id": entry.task_id,
        "what": entry.what,
        "initiator": entry.initiator,
        "deleted_at": record.committed_at.isoformat(timespec="seconds"),
        "retained_until": entry.purge_after.isoformat(timespec="seconds"),
        "files": counts.files if counts else None,
        "size_bytes": counts.size_bytes if counts else None,
    }


def _progress(watched: Watched) -> dict[str, object]:
    progress = watched.progress
    return {
        "task_ids": list(watched.task_ids),
        "files_total": progress.files_total,
        "files_done": progress.files_done,
        "bytes_total": progress.bytes_total,
        "bytes_done": progress.bytes_done,
        "files_per_second": round(progress.files_per_second, 1),
        "remaining_seconds": None if progress.remaining_s is None else round(progress.remaining_s, 1),
    }
