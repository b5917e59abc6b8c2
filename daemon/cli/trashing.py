"""``sweepd trash``, ``sweepd restore`` and ``sweepd purge``: what waits, its way back, and its end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from daemon.app.services import Services
from daemon.catalog.ledger import Record
from daemon.cli.exits import Exit, status_of
from daemon.cli.initiator import initiator
from daemon.cli.render import dump, say, say_message, table
from daemon.deletion.restore import Restored
from daemon.deletion.stuck import why
from daemon.errors import CatalogNotReady, CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError, TaskRefused
from daemon.moments import for_people
from daemon.sizes import format_size

_DELETION_ID = re.compile(r"[0-9a-f]{28}")


def show_trash(services: Services, task_id: str | None, *, as_json: bool) -> None:
    """Print what waits, the first to be purged first. Raises SweepdError."""
    records, stuck = services.retention.waiting(task_id), services.retention.stuck(task_id)
    if as_json:
        found = {"deletions": [_json(record) for record in records], "total": len(records)}
        dump({**found, "stuck": [{**_json(record), "error": why(record)} for record in stuck]})
        return
    rows = [
        (
            record.entry.deletion_id,
            record.entry.task_id,
            record.entry.what,
            format_size(record.counts.size_bytes) if record.counts else "-",
            for_people(record.committed_at),
            for_people(record.entry.purge_after),
            record.entry.initiator,
        )
        for record in records
    ]
    table(("deletion", "task", "what", "size", "deleted", "purged after", "by"), rows, right=frozenset({"size"}))
    say(f"{len(rows)} deletions can be restored: sweepd restore TASK|DELETION", style="dim")
    if stuck:
        say()
        say(f"deletions that could not be finished: {len(stuck)}", style="yellow")
        table(("deletion", "task", "because"), [(r.entry.deletion_id, r.entry.task_id, why(r) or "") for r in stuck])


def restore(services: Services, names: Sequence[str], *, as_json: bool) -> Exit:
    """Restore each, named by its task or its deletion. Raises SweepdError if root or catalog are not there."""
    by = initiator()
    restored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    ending = Exit.OK
    for name in dict.fromkeys(names):
        try:
            done = _restore(services, name, by)
        except SweepdError as error:
            if isinstance(error, RootUnavailable | CatalogUnavailable | CatalogNotReady):
                raise
            failed.append({"name": name, "code": error.code, "reason": str(error)})
            ending = status_of(error)
            if not as_json:
                say_message(f"{name}: {error}", style="red")
            continue
        for one in done:
            restored.append(
                {
                    "task_id": one.task_id,
                    "deletion_id": one.deletion_id,
                    "directory": one.directory,
                    "records": one.records,
                }
            )
            if not as_json:
                say(f"{one.task_id}: {_in_words(one)} restored (deletion {one.deletion_id})")
    if as_json:
        dump({"restored": restored, "failed": failed})
    elif restored:
        say("a sweep takes what a policy selects again: sweepd hold TASK keeps it", style="dim")
    return ending


def purge(services: Services, deletion_ids: Sequence[str], *, as_json: bool) -> None:
    """Purge these deletions before their time. Raises SweepdError, and then none of them if one does not wait."""
    records = services.retention.purge(list(dict.fromkeys(deletion_ids)))
    if as_json:
        dump({"purged": [_json(record) for record in records]})
        return
    for record in records:
        counts = record.counts
        size = f"{counts.files} files, {format_size(counts.size_bytes)}" if counts else "nothing"
        say(f"{record.entry.task_id}: purged {size}")


def _restore(services: Services, name: str, by: str) -> list[Restored]:
    if _DELETION_ID.fullmatch(name):  # a task can be called that as well, if nothing else is
        try:
            return [services.restorer.restore(name, by)]
        except TaskRefused as error:
            if error.code is not ErrorCode.DELETION_NOT_FOUND:
                raise
    return services.restorer.restore_task(name, by)


def _in_words(restored: Restored) -> str:
    parts = ["directory"] * restored.directory + ["records"] * restored.records
    return " and ".join(parts)


def _json(record: Record) -> dict[str, Any]:
    entry, counts = record.entry, record.counts
    return {
        "deletion_id": entry.deletion_id,
        "task_id": entry.task_id,
        "what": entry.what,
        "initiator": entry.initiator,
        "state": record.state,
        "deleted_at": record.committed_at.isoformat(),
        "retained_until": entry.purge_after.isoformat() if entry.purge_after else None,
        "files": counts.files if counts else None,
        "size_bytes": counts.size_bytes if counts else None,
        "freed_bytes": counts.freed_bytes if counts else None,
    }
