"""``sweepd --server URL sweep`` and ``sweeps``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from daemon.cli.exits import Exit
from daemon.cli.remote.server import Server
from daemon.cli.render import console, dump, say, say_message, table
from daemon.moments import for_people, in_local_time
from daemon.sizes import format_size

_EXITS: Final = {"blocked": Exit.LIMIT, "success": Exit.OK, "observed": Exit.OK}


def sweep(server: Server, policy: str, *, digest: str | None, retry: bool, as_json: bool) -> Exit:
    """Sweep and print the report. What dropped out of a stored plan counts as not deleted."""
    with server.client() as client:
        if as_json or not console.is_terminal:
            report = client.sweep(policy, plan=digest, retry=retry)
        else:
            with console.status(f"sweeping {policy}"):
                report = client.sweep(policy, plan=digest, retry=retry)
    if as_json:
        dump(report)
    else:
        _show(report)
    again = (digest is not None or retry) and report["failed_again"]
    if (digest is not None and report["dropped_count"]) or again:
        return Exit.NOT_DELETED
    return _EXITS.get(report["outcome"], Exit.NOT_DELETED)


def show_sweeps(server: Server, policy: str | None, *, limit: int, as_json: bool) -> None:
    """Print the last ones, the newest first."""
    with server.client() as client:
        found = client.sweeps(policy=policy, limit=min(limit, 1000))
    if as_json:
        dump({"sweeps": found})
        return
    numbers = ("selected", "deleted", "failed", "dropped")
    rows = [
        (
            one["sweep_id"],
            one["policy"],
            for_people(one["started_at"], seconds=True),
            one["trigger"],
            one["mode"],
            one["outcome"],
            *(str(one[name]) for name in numbers),
        )
        for one in found
    ]
    table(("sweep", "policy", "started", "trigger", "mode", "outcome", *numbers), rows, right=frozenset(numbers))
    rest = "; --limit N shows more" if len(rows) == limit else ""
    say(f"{len(rows)} sweeps{rest}", style="dim")


def _show(report: Mapping[str, Any]) -> None:
    good = report["outcome"] in ("success", "observed")
    say(f"sweep of {report['policy']}: {report['outcome']}", style="bold green" if good else "bold red")
    if report["error"]:
        say_message(report["error"])
    if report["outcome"] == "observed":
        say(f"would delete {report['selected']} of {report['considered']} tasks; mode observe deletes nothing")
        return
    had = report.get("directories_deleted")
    which = "" if had in (None, report["deleted_count"]) else f", of which {had} had a directory"
    say(
        f"deleted {report['deleted_count']} of {report['selected']} selected tasks{which}: {report['files']} files, "
        f"{format_size(report['size_bytes'])}, {format_size(report['freed_bytes'])} of disk space freed"
    )
    if report["not_attempted"]:
        say(f"{report['not_attempted']} were not attempted")
    if waiting := report["stay_counts"].get("backing_off"):
        tasks = "1 task" if waiting == 1 else f"{waiting} tasks"
        say(f"{tasks} could not be deleted before; to try again at once, add --retry", style="yellow")
    missed = [
        (one["task_id"], one["code"], in_local_time(one["reason"]))
        for name in ("failed", "failed_again", "dropped")
        for one in report[name]
    ]
    if missed:
        table(("not deleted", "code", "because"), missed)
