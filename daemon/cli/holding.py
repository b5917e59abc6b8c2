"""``sweepd hold``, ``sweepd holds`` and ``sweepd release``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import typer

from daemon.app.services import Services
from daemon.catalog.holds import Hold, is_glob
from daemon.cli.exits import Exit, status_of
from daemon.cli.initiator import initiator, user_name
from daemon.cli.render import dump, say, say_message, table
from daemon.deletion.hold_terms import Terms, check_pattern, check_text, is_everything, is_hold_id, parse_until
from daemon.deletion.holding import Placed, hold_json
from daemon.errors import CatalogNotReady, CatalogUnavailable, ErrorCode, SweepdError, TaskRefused
from daemon.moments import for_people
from daemon.policy.values import parse_duration

_T = TypeVar("_T")


def terms(
    pattern: str, *, reason: str, until: str | None, lasting: str | None, owner: str | None, all_tasks: bool
) -> Terms:
    """What the command line asks for. Raises typer.BadParameter that says what to write instead."""
    if until is not None and lasting is not None:
        raise typer.BadParameter("give one of --until and --for, not both")
    checked = _checked(check_pattern, pattern, "TASK|GLOB")
    if is_everything(checked) and not all_tasks:
        raise typer.BadParameter(f"{pattern} matches every task; say so with --all-tasks", param_hint="TASK|GLOB")
    return Terms(
        checked,
        _checked(check_text, reason, "--reason"),
        user_name() if owner is None else _checked(check_text, owner, "--owner"),
        None if until is None else _checked(parse_until, until, "--until"),
        None if lasting is None else _checked(parse_duration, lasting, "--for"),
    )


def place(services: Services, wanted: Sequence[Terms], *, as_json: bool) -> None:
    """Place these holds and say what each is about now. Raises SweepdError; those before it are placed then."""
    placed = []
    for one in wanted:
        done = services.holds.place(one, initiator())
        placed.append(done.to_json())
        if not as_json:
            say(_in_words(done))
    if as_json:
        dump({"placed": placed})


def show(services: Services, *, everything: bool, as_json: bool) -> None:
    """Print the holds in force, or all there ever were. Raises SweepdError."""
    found, now = services.holds.listed(everything=everything)
    if as_json:
        dump({"holds": [hold_json(hold, in_force=hold.in_force(now)) for hold in found], "total": len(found)})
        return
    columns = ["hold", "tasks", "owner", "placed", "until", "reason"] + ["state"] * everything
    rows = [
        (
            hold.hold_id,
            hold.pattern,
            hold.owner,
            for_people(hold.placed_at),
            for_people(hold.expires_at) if hold.expires_at else "it is released",
            hold.reason,
            *[_state(hold, now)] * everything,
        )
        for hold in found
    ]
    table(columns, rows)
    say(f"{len(rows)} holds", style="dim")


def release(services: Services, names: Sequence[str], *, as_json: bool) -> Exit:
    """Release each, named by its id or by what it was placed on. Raises SweepdError if the catalog is not there."""
    released: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    ending = Exit.OK
    for name in dict.fromkeys(names):
        try:
            done = _release(services, name, initiator())
        except SweepdError as error:
            if isinstance(error, CatalogUnavailable | CatalogNotReady):
                raise
            failed.append({"name": name, "code": error.code, "reason": str(error)})
            ending = status_of(error)
            if not as_json:
                say_message(f"{name}: {error}", style="red")
            continue
        for hold in done:
            released.append(hold_json(hold, in_force=False))
            if not as_json:
                say(f"{hold.pattern}: released (hold {hold.hold_id} of {hold.owner})")
    if as_json:
        dump({"released": released, "failed": failed})
    return ending


def _release(services: Services, name: str, by: str) -> list[Hold]:
    if is_hold_id(name):  # a task can be called that as well, if no hold is
        try:
            return [services.holds.release(name, by)]
        except TaskRefused as error:
            if error.code is not ErrorCode.HOLD_NOT_FOUND:
                raise
            try:
                return services.holds.release_pattern(name, by)
            except TaskRefused:
                raise error from None
    return services.holds.release_pattern(_checked(check_pattern, name, "HOLD|TASK|GLOB"), by)


def _checked(check: Callable[[str], _T], text: str, hint: str) -> _T:
    try:
        return check(text)
    except ValueError as error:
        raise typer.BadParameter(f"{ascii(text)[:80]}: {error}", param_hint=hint) from None


def _in_words(placed: Placed) -> str:
    hold, covered = placed.hold, placed.covered
    until = f"until {for_people(hold.expires_at)}" if hold.expires_at else "until it is released"
    parts = [f"{hold.pattern}: held {until} (hold {hold.hold_id})"]
    if is_glob(hold.pattern):
        parts.append(f"{covered.tasks} tasks now")
        if covered.gone:
            parts.append(f"the directories of {covered.gone} of them are gone already")
    elif not covered.tasks:
        parts.append("no task of that name has a row now")
    elif covered.gone:
        parts.append("its directory is gone already")
    if covered.in_trash:
        parts.append(f"{covered.in_trash} of its deletions wait in the trash and stay there: sweepd restore")
    return "; ".join(parts)


def _state(hold: Hold, now: datetime) -> str:
    if hold.released_at is not None:
        return f"released by {hold.released_by}"
    return "in force" if hold.in_force(now) else "over"
