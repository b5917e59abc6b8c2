"""``sweepd --server URL hold``, ``holds`` and ``release``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.cli.exits import Exit
from daemon.cli.initiator import user_name
from daemon.cli.remote.server import Server
from daemon.cli.render import dump, say, table
from daemon.client.answers import Hold
from daemon.moments import for_people


def place(
    server: Server,
    patterns: Sequence[str],
    *,
    reason: str,
    until: str | None,
    lasting: str | None,
    owner: str | None,
    all_tasks: bool,
    as_json: bool,
) -> None:
    """Place these holds and say what each is about now."""
    placed = []
    with server.client() as client:
        for pattern in patterns:
            held = client.hold(
                pattern=pattern,
                reason=reason,
                until=until,
                lasting=lasting,
                owner=owner or user_name(),
                all_tasks=all_tasks,
            )
            placed.append(held)
            if not as_json:
                say(_in_words(held))
    if as_json:
        dump({"placed": placed})


def show(server: Server, *, everything: bool, as_json: bool) -> None:
    """Print the holds in force, or all there ever were."""
    with server.client() as client:
        found = client.holds(everything=everything)
    if as_json:
        dump({"holds": found, "total": len(found)})
        return
    rows = [
        (
            hold["hold_id"],
            hold["pattern"],
            hold["owner"],
            for_people(hold["placed_at"]),
            for_people(hold["until"]) if hold["until"] else "it is released",
            hold["reason"],
            *[_state(hold)] * everything,
        )
        for hold in found
    ]
    table(["hold", "tasks", "owner", "placed", "until", "reason"] + ["state"] * everything, rows)
    say(f"{len(rows)} holds", style="dim")


def release(server: Server, names: Sequence[str], *, as_json: bool) -> Exit:
    """Release each, named by its id or by what it was placed on."""
    released: list[Hold] = []
    failed: list[dict[str, Any]] = []
    with server.client() as client:
        for name in dict.fromkeys(names):
            found = [hold for hold in client.holds() if name in (hold["hold_id"], hold["pattern"])]
            if not found:
                failed.append({"name": name, "error_code": "HOLD_NOT_FOUND", "error": "there is no such hold in force"})
            released += [client.release(hold["hold_id"]) for hold in found]
    if as_json:
        dump({"released": released, "failed": failed})
    else:
        for hold in released:
            say(f"{hold['pattern']}: released (hold {hold['hold_id']} of {hold['owner']})")
        for one in failed:
            say(f"{one['name']}: {one['error']}; see: {server.command('holds')}", style="red")
    return Exit.NOT_DELETED if failed else Exit.OK


def _in_words(hold: Hold) -> str:
    until = f"until {for_people(hold['until'])}" if hold["until"] else "until it is released"
    parts = [f"{hold['pattern']}: held {until} (hold {hold['hold_id']})"]
    counts: dict[str, Any] = dict(hold)
    if "tasks" in counts:
        parts.append(f"{counts['tasks']} tasks now")
    if counts.get("directories_gone"):
        parts.append(f"the directories of {counts['directories_gone']} of them are gone already")
    if counts.get("in_trash"):
        parts.append(f"{counts['in_trash']} of its deletions wait in the trash and stay there")
    return "; ".join(parts)


def _state(hold: Hold) -> str:
    if hold["released_at"] is not None:
        return f"released by {hold['released_by']}"
    return "in force" if hold["in_force"] else "over"
