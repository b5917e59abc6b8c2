"""``sweepd deletions``: the audit trail, as the API has it."""

from __future__ import annotations

import sys
from typing import Final

from daemon.app.services import Services
from daemon.catalog.audit import AuditFilter
from daemon.catalog.ledger import Record
from daemon.cli.dates import read_instant
from daemon.cli.render import dump, say, table
from daemon.deletion import audit_trail, stuck
from daemon.moments import for_people
from daemon.sizes import format_size
from daemon.visible import visible

_SHOWN: Final = 50


def show_deletions(
    services: Services,
    *,
    task_id: str | None,
    policy: str | None,
    sweep_id: str | None,
    initiator: str | None,
    trigger: str | None,
    state: str | None,
    since: str | None,
    until: str | None,
    limit: int | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print them, the newest first; as CSV or JSON all of them unless there is a ``limit``.

    Raises typer.BadParameter, CatalogUnavailable or CatalogNotReady.
    """
    wanted = AuditFilter(
        task_id=task_id,
        policy=policy,
        sweep_id=sweep_id,
        initiator=initiator,
        trigger=trigger,
        state=state,
        since=None if since is None else read_instant(since, "--since"),
        until=None if until is None else read_instant(until, "--until"),
    )
    if as_csv:
        sys.stdout.write(audit_trail.csv_lines((), header=True))
        for page in audit_trail.pages(services.catalog, wanted, limit=limit):
            sys.stdout.write(_escaped(audit_trail.csv_lines(page, header=False)))
        return
    most = limit or _SHOWN
    pages = audit_trail.pages(services.catalog, wanted, limit=limit if as_json else most + 1)
    found = [one for page in pages for one in page]
    if as_json:
        dump({"deletions": [audit_trail.document(record) for record in found]})
        return
    more, found = len(found) > most, found[:most]
    columns = ("deletion", "deleted", "task", "what", "state", "by", "files", "size", "why")
    table(columns, [_row(record) for record in found], right=frozenset({"files", "size"}))
    rest = f"the newest {most}; --limit N shows more, --json all" if more else f"{len(found)} deletions"
    say(f"{rest}; --json says more of each", style="dim")


def _escaped(lines: str) -> str:
    """CSV may hold line breaks, in quotes; nothing else that a terminal acts on."""
    return "".join(char if char in "\r\n" else visible(char) for char in lines)


def _row(record: Record) -> tuple[str, ...]:
    entry, counts = record.entry, record.counts
    return (
        entry.deletion_id,
        for_people(record.committed_at, seconds=True),
        entry.task_id,
        entry.what,
        "in the trash" if record.retained else record.state,
        entry.initiator,
        str(counts.files) if counts else "-",
        format_size(counts.size_bytes) if counts else "-",
        stuck.why(record) or entry.reason or "-",
    )
