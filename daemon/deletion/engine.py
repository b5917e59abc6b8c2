"""The protocol of a deletion: claim under lock, manifest, move into the trash, commit, census, purge.

Wherever it is cut off, ``recovery`` finishes or undoes it. Before the commit everything can be put back; after it
everything is carried forward. What is to be retained waits in the trash instead of being purged.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from daemon import clock, log
from daemon.deletion.choice import Going
from daemon.deletion.claim import Claim, Claimed
from daemon.deletion.models import Outcome, Request
from daemon.deletion.purge import Place, Tools, keep_ready, purge
from daemon.errors import (
    CatalogNotReady,
    CatalogUnavailable,
    ErrorCode,
    RootUnavailable,
    SweepdError,
    TaskRefused,
)
from daemon.storage import faults
from daemon.storage.names import check_task_id
from daemon.storage.root import OpenRoot, StorageRoot
from daemon.storage.trash import TrashEntry

_log = log.get(__name__)

GROUP: Final = 64
"""The most tasks that share a transaction, a manifest and their syncs: their rows are locked meanwhile."""

_MOVING = "moving the task directory into the trash"
_REMOVING = "removing the files, already out of the way in the trash,"
_Result = Outcome | SweepdError


class Engine:
    """Deletes tasks of one storage root and one catalog. Blocking, and safe to call from many threads and processes."""

    def __init__(self, root: StorageRoot, tools: Tools) -> None:
        self._root = root
        self._tools = tools

    def check_journal(self) -> None:
        """Raises CatalogRolledBack if the database has forgotten deletions, and as root and catalog do."""
        with self._root.open() as root:
            self._tools.continuity.check(root, thoroughly=False)

    def delete(self, request: Request) -> Outcome:
        """Delete one task. Raises SweepdError if it was not deleted, or not completely: the message says which."""
        (result,) = self._delete([request])
        if isinstance(result, SweepdError):
            raise result
        return result

    def delete_group(self, requests: Sequence[Request]) -> list[Outcome | SweepdError]:
        """Delete several tasks, GROUP at a time in one transaction; what became of each, in the order given."""
        results: list[_Result] = []
        for start in range(0, len(requests), GROUP):
            results += self._delete(requests[start : start + GROUP])
        return results

    def report(self, request: Request, seconds: float, result: Outcome | SweepdError) -> None:
        """Count and log how a deletion has ended, after a try that took ``seconds``."""
        error = result if isinstance(result, SweepdError) else None
        outcome = None if isinstance(result, SweepdError) else result
        refused = isinstance(error, TaskRefused) and error.code not in (
            ErrorCode.DELETION_FAILED,
            ErrorCode.PERMISSION_DENIED,
        )
        ending = "success" if outcome else "refused" if refused else "failed"
        self._tools.metrics.deletions.ended(request.trigger, ending, seconds)
        write = _log.info if outcome else _log.warning if refused else _log.error
        write(
            "deletion_finished",
            outcome=ending,
            trigger=request.trigger,
            initiator=request.initiator,
            policy=request.policy,
            sweep_id=request.sweep_id,
            job_id=request.job_id,
            task_ids=[faults.printable(request.task_id[:128])],
            what=request.what,
            force=request.force,
            deletion_id=outcome.deletion_id if outcome else None,
            directory_deleted=bool(outcome and outcome.directory_deleted),
            records_deleted=bool(outcome and outcome.records_deleted),
            retained_until=outcome.retained_until.isoformat() if outcome and outcome.retained_until else None,
            files=outcome.counts.files if outcome else 0,
            bytes=outcome.counts.size_bytes if outcome else 0,
            freed_bytes=outcome.counts.freed_bytes if outcome and outcome.retained_until is None else 0,
            seconds=round(seconds, 4),
            error=error.code if error else None,
            reason=str(error) if error else None,
        )

    def _delete(self, requests: Sequence[Request]) -> list[_Result]:
        started = clock.monotonic()
        results: dict[int, _Result] = {}
        together: dict[str, int] = {}
        apart: list[int] = []
        for number, request in enumerate(requests):
            try:
                check_task_id(request.task_id)
            except TaskRefused as error:
                results[number] = error
                continue
            if together.setdefault(request.task_id, number) != number:
                apart.append(number)  # named twice: the second time there is nothing left to do
        if together:
            done, again = self._together([requests[number] for number in together.values()])
            for task_id, number in together.items():
                if task_id in done:
                    results[number] = done[task_id]
            apart += [together[task_id] for task_id in again]
        for number in apart:
            request = requests[number]
            done, _ = self._together([request])
            results[number] = done[request.task_id]
        seconds = clock.monotonic() - started
        for number, request in enumerate(requests):
            if not request.retried:
                self.report(request, seconds, results[number])
        return [results[number] for number in range(len(requests))]

    def _together(self, requests: Sequence[Request]) -> tuple[dict[str, _Result], list[str]]:
        """What became of each task, and which have to be tried again one by one."""
        ids = [request.task_id for request in requests]
        with ExitStack() as stack:
            try:
                root = stack.enter_context(self._root.open())
                claimed = Claim(self._tools.catalog, self._tools.continuity, root, requests, stack).run()
            except OSError as error:
                return {task_id: self._explain(error, task_id, _MOVING) for task_id in ids}, []
            except (RootUnavailable, CatalogUnavailable, CatalogNotReady) as error:
                self._root.note(error)
                return dict.fromkeys(ids, error), []
            except SweepdError as error:
                if len(ids) > 1:  # one row spoils it for the others
                    return {}, ids
                return {ids[0]: error}, []
            again = [request.task_id for request in claimed.again]
            return {**claimed.results, **self._finish(root, claimed)}, again

    def _finish(self, root: OpenRoot, claimed: Claimed) -> dict[str, _Result]:
        """Carry out what is committed: purge it, or let it wait."""
        results: dict[str, _Result] = {}
        for one, where in claimed.standing:
            try:
                results |= self._purge(claimed, where, [one])
            except SweepdError as error:  # it is committed; recovery goes on with it
                results[one.request.task_id] = error
        if claimed.moved:
            assert claimed.entry is not None
            results |= self._carry_on(claimed, claimed.entry)
        if claimed.gone:
            keep_ready(root, self._tools.catalog)
        return results

    def _carry_on(self, claimed: Claimed, entry: TrashEntry) -> dict[str, _Result]:
        """What has been moved: purged, or let wait."""
        results: dict[str, _Result] = {}
        waits = [one for one in claimed.moved if one.item.entry.purge_after is not None]
        goes = [one for one in claimed.moved if one.item.entry.purge_after is None]
        if waits:
            try:
                entry.retain([one.item.deletion_id for one in waits])
                if not goes:
                    entry.discard()
            except OSError as error:  # it is committed; recovery moves it on
                _log.error("retain_deferred", entry_id=entry.entry_id, reason=str(error))
            results |= {one.request.task_id: _outcome(claimed, one) for one in waits}
        if goes:
            results |= self._purge(claimed, entry, goes)
        return results

    def _purge(self, claimed: Claimed, entry: Place, goes: Sequence[Going]) -> dict[str, _Result]:
        known = {one.item.deletion_id: one.counts for one in goes if one.counts is not None}
        purged = purge(entry, [one.item for one in goes], self._tools, known)
        results: dict[str, _Result] = {}
        for one in goes:
            task_id, left = one.request.task_id, purged.errors.get(one.item.deletion_id)
            one.counts = purged.counts.get(one.item.deletion_id)
            results[task_id] = _outcome(claimed, one) if left is None else self._explain(left, task_id, _REMOVING)
        return results

    def _explain(self, error: OSError, task_id: str, doing: str) -> SweepdError:
        fault = faults.explain(error, task_id, doing)
        self._root.note(fault)
        return fault


def _outcome(claimed: Claimed, one: Going) -> Outcome:
    assert claimed.deleted_at is not None
    entry = one.item.entry
    return Outcome(
        task_id=entry.task_id,
        deletion_id=entry.deletion_id,
        directory_deleted=True,
        records_deleted=entry.records_deleted,
        census=one.counts,
        deleted_at=claimed.deleted_at,
        retained_until=entry.purge_after,
    )
