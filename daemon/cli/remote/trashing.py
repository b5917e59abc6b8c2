"""``sweepd --server URL trash`` and ``restore``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from daemon.cli.exits import Exit
from daemon.cli.remote.server import Server, in_words, status_of
from daemon.cli.render import dump, say, say_message, table
from daemon.client import ApiError, BadTaskId, Client, Unauthorized, Unavailable
from daemon.moments import for_people
from daemon.sizes import format_size

_DELETION_ID = re.compile(r"[0-9a-f]{28}")


def show_trash(server: Server, task_id: str | None, *, as_json: bool) -> None:
    """Print what waits, the first to be purged first."""
    with server.client() as client:
        found = [one for one in client.trash() if task_id in (None, one["task_id"])]
    if as_json:
        dump({"deletions": found, "total": len(found)})
        return
    rows = [
        (
            one["deletion_id"],
            one["task_id"],
            one["what"],
            "-" if one["size_bytes"] is None else format_size(one["size_bytes"]),
            for_people(one["deleted_at"]),
            for_people(one["retained_until"]),
            one["initiator"],
        )
        for one in found
    ]
    table(("deletion", "task", "what", "size", "deleted", "purged after", "by"), rows, right=frozenset({"size"}))
    say(f"{len(rows)} deletions can be restored: {server.command('restore TASK|DELETION')}", style="dim")


def restore(server: Server, names: Sequence[str], *, as_json: bool) -> Exit:
    """Restore each, named by its task or its deletion."""
    restored: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    ending = Exit.OK
    with server.client() as client:
        for name in dict.fromkeys(names):
            try:
                done = _restore(client, name)
            except (ApiError, BadTaskId) as error:
                if isinstance(error, Unauthorized | Unavailable):
                    raise
                failed.append({"name": name, "error_code": error.error_code, "error": in_words(error)})
                ending = status_of(error)
                if not as_json:
                    say_message(f"{name}: {in_words(error)}", style="red")
                continue
            restored.append(done)
            for one in () if as_json else done["restored"]:
                say(f"{done['task_id']}: {_in_words(one)} restored (deletion {one['deletion_id']})")
    if as_json:
        dump({"restored": restored, "failed": failed})
    return ending


def _restore(client: Client, name: str) -> dict[str, Any]:
    if _DELETION_ID.fullmatch(name):  # a task can be called that as well, if no deletion is
        for one in client.trash():
            if one["deletion_id"] == name:
                return client.restore(one["task_id"], deletion_id=name)
    return client.restore(name)


def _in_words(restored: dict[str, Any]) -> str:
    parts = ["directory"] * restored["directory_restored"] + ["records"] * restored["database_records_restored"]
    return " and ".join(parts)
