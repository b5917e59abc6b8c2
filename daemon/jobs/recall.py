"""What a job, or a request with an idempotency key, has deleted already, as the journal of deletions knows it."""

from __future__ import annotations

from collections.abc import Collection

from daemon.catalog import ledger
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.ledger import Record, State
from daemon.deletion import stuck
from daemon.deletion.models import Outcome
from daemon.errors import ErrorCode, SweepdError, TaskRefused
from daemon.storage.census import Census


def recall(catalog: Catalog, job_id: str, task_ids: Collection[str]) -> dict[str, Outcome | SweepdError]:
    """By task id, what became of those that were deleted for that job; the others were not.

    TASK_BUSY with a ``deletion_id``: it is committed, and recovery has not finished it yet. Raises CatalogUnavailable
    or CatalogNotReady.
    """
    wanted = set(task_ids)
    with catalog.read() as session:
        records = [record for record in ledger.of_job(session.connection, job_id) if record.state is not State.ABORTED]
        return {record.entry.task_id: _result(record, session) for record in records if record.entry.task_id in wanted}


def _result(record: Record, session: Session) -> Outcome | SweepdError:
    entry, counts = record.entry, record.counts
    if record.state is State.COMMITTED and not record.retained:
        return _unfinished(record)
    return Outcome(
        task_id=entry.task_id,
        deletion_id=entry.deletion_id,
        directory_deleted=entry.directory_deleted,
        records_deleted=entry.records_deleted,
        census=None
        if counts is None
        else Census(counts.files, counts.directories, counts.size_bytes, counts.freed_bytes),
        deleted_at=record.committed_at.astimezone(session.zone).replace(tzinfo=None, microsecond=0),
        retained_until=entry.purge_after,
    )


def _unfinished(record: Record) -> TaskRefused:
    entry = record.entry
    details = {"task_id": entry.task_id, "deletion_id": entry.deletion_id}
    if record.error is None:
        message = f"{entry.task_id} is out of its place, and what is left of it is being removed; ask again in a minute"
        return TaskRefused(message, code=ErrorCode.TASK_BUSY, details=details)
    message = (
        f"{entry.task_id} is out of its place, but not all of it can be removed: {stuck.why(record)}; it is tried again"
    )
    return TaskRefused(message, code=ErrorCode.DELETION_FAILED, details=details)
