"""``sweepd sweeps``: what the last sweeps did."""

from __future__ import annotations

from daemon.app.services import Services
from daemon.catalog import sweeps
from daemon.cli.render import dump, say, table
from daemon.moments import for_people
from daemon.sweep.documents import record_document


def show_sweeps(services: Services, policy: str | None, *, limit: int, as_json: bool) -> None:
    """Print them, the newest first; of a policy that is gone too. Raises CatalogUnavailable or CatalogNotReady."""
    with services.catalog.read() as session:
        records = sweeps.recent(session.connection, policy, limit)
    if as_json:
        dump({"sweeps": [record_document(record) for record in records]})
        return
    rows = [
        (
            record.sweep_id,
            record.policy,
            for_people(record.started_at, seconds=True),
            record.trigger,
            record.mode,
            record.outcome,
            str(record.selected),
            str(record.deleted),
            str(record.failed),
            str(record.dropped),
        )
        for record in records
    ]
    numbers = ("selected", "deleted", "failed", "dropped")
    table(("sweep", "policy", "started", "trigger", "mode", "outcome", *numbers), rows, right=frozenset(numbers))
    rest = "; --limit N shows more" if len(rows) == limit else ""
    say(f"{len(rows)} sweeps{rest}; --json says what they did to which tasks", style="dim")
