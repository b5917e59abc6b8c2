"""``sweepd delete``: by hand, through the same engine. Works beside a running daemon."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import Any

import typer

from daemon.app.services import Services
from daemon.cli.exits import Exit, status_of
from daemon.cli.initiator import initiator
from daemon.cli.progress import purge_bar
from daemon.cli.render import UNLESS, dump, say, say_message
from daemon.deletion.hold_terms import check_text
from daemon.deletion.models import Outcome, Request, Trigger, What
from daemon.errors import CatalogNotReady, CatalogUnavailable, RootUnavailable, SweepdError
from daemon.moments import for_people
from daemon.policy.values import parse_duration
from daemon.sizes import format_size


def parse_retain(text: str | None) -> timedelta | None:
    """A duration such as ``7d``. Raises typer.BadParameter that says what to write instead."""
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--retain") from None


def parse_reason(text: str | None) -> str | None:
    """One line of text. Raises typer.BadParameter that says what to write instead."""
    try:
        return None if text is None else check_text(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--reason") from None


def delete(
    services: Services,
    task_ids: Iterable[str],
    *,
    records: bool,
    force: bool,
    retain: timedelta | None = None,
    reason: str | None = None,
    as_json: bool,
) -> Exit:
    """Delete each task and print what became of it. Raises SweepdError if root or catalog are not there."""
    what = What.DIRECTORY_AND_RECORDS if records else What.DIRECTORY
    deleted: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    ending = Exit.OK
    with purge_bar(services.purges, shown=not as_json):
        for task_id in dict.fromkeys(task_ids):
            request = Request(task_id, what, Trigger.CLI, initiator(), force=force, retain=retain, reason=reason)
            try:
                outcome = services.engine.delete(request)
            except SweepdError as error:
                failed.append({"task_id": task_id, "code": error.code, "reason": str(error)})
                ending = status_of(error)
                if not as_json:
                    say_message(f"{task_id}: {error}", style="red")
                if isinstance(error, RootUnavailable | CatalogUnavailable | CatalogNotReady):
                    break
                continue
            deleted.append(_outcome_json(outcome))
            if not as_json:
                say(f"{task_id}: {_in_words(outcome)}")
    if as_json:
        dump({"deleted": deleted, "failed": failed})
    return ending


def _in_words(outcome: Outcome) -> str:
    census = outcome.counts
    records = ", records deleted" if outcome.records_deleted else ""
    if not outcome.directory_deleted:
        return f"had no directory{records}"
    if outcome.retained_until is not None:
        size = f" ({census.files} files, {format_size(census.size_bytes)})" if outcome.census else ""
        until = for_people(outcome.retained_until)
        return f"moved to the trash{size}{records}; can be restored until {until}, {UNLESS}"
    return f"deleted {census.files} files, {format_size(census.size_bytes)}{records}"


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "task_id": outcome.task_id,
        "deletion_id": outcome.deletion_id,
        "directory_deleted": outcome.directory_deleted,
        "records_deleted": outcome.records_deleted,
        "deleted_at": outcome.deleted_at.isoformat(),
        "retained_until": outcome.retained_until.astimezone(UTC).isoformat() if outcome.retained_until else None,
        **outcome.counts.to_json(),
    }
