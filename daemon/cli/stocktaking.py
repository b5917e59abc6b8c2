"""``sweepd inventory``: what the scans have found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from daemon import clock
from daemon.app.services import Services
from daemon.catalog.scans import Drift
from daemon.catalog.totals import Group, Large, Total
from daemon.cli.fullness import measure_space, space_in_words, space_json
from daemon.cli.render import console, dump, say, table
from daemon.errors import ErrorCode, SweepRefused
from daemon.inventory import scan as scans
from daemon.inventory.overview import DriftList, Overview, drift_list, overview
from daemon.moments import for_people
from daemon.policy.values import format_duration
from daemon.sizes import format_size

EXAMPLES = 10
_RIGHT = frozenset({"directories", "files", "size", "on disk"})


def show_inventory(services: Services, *, scan: bool, largest: int, everything: bool, as_json: bool) -> None:
    """Print it; with ``scan``, after a scan; with ``everything``, all that differs. Raises SweepdError."""
    if scan:
        if (problem := services.clock_guard.problem()) is not None:  # since when it is there is what orphans go by
            raise SweepRefused(f"nothing was scanned: {problem}", code=ErrorCode.CLOCK_UNRELIABLE)
        _scan(services, shown=not as_json)
    found = overview(services.catalog, largest)
    most = None if everything or as_json else EXAMPLES
    drifts = [drift_list(services.catalog, kind, most) for kind in Drift]
    space = measure_space(services)
    if as_json:
        differing = {str(one.kind): one.to_json()["tasks"] for one in drifts}
        dump({**found.to_json(), **differing, "filesystem": space_json(space)})
        return
    say(space_in_words(services, space))
    _show_total(found)
    for name, groups in found.groups.items():
        say()
        table((name, "directories", "files", "size", "on disk"), [_group_row(group) for group in groups], right=_RIGHT)
    if found.largest:
        say()
        rows = [_large_row(one) for one in found.largest]
        table(("largest", "status", "user", "files", "size", "on disk", "changed"), rows, right=_RIGHT)
        _more(found.total.directories - found.total.uncounted - len(rows), "--largest N lists more")
    for drift in drifts:
        _show_drift(drift)


def _scan(services: Services, *, shown: bool) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[files]} files counted"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not shown or not console.is_terminal) as bar:
        line = bar.add_task("scanning", total=None, files=0)

        def progress(done: scans.Progress) -> None:
            total = max(done.expected, done.directories) or None
            bar.update(line, total=total, completed=done.directories, files=done.files)

        services.scanner.scan(progress)


def _show_total(found: Overview) -> None:
    scan, total = found.scan, found.total
    if scan is None or scan.finished_at is None:
        say("there was no complete scan yet: the daemon makes one, or run: sweepd inventory --scan", style="yellow")
    else:
        age = format_duration(clock.now() - scan.finished_at)
        say(f"as of {for_people(scan.finished_at)}, {age} ago", style="dim")
    unknown = f", {total.uncounted} of them not counted" if total.uncounted else ""
    size = f"{format_size(total.size_bytes)} ({format_size(total.freed_bytes)} on disk)"
    say(f"{total.directories} task directories{unknown}: {total.files} files, {size}", style="bold")


def _show_drift(drift: DriftList) -> None:
    if not drift.total:
        return
    say()
    say(f"{_DRIFTS[drift.kind]}: {drift.total}", style="yellow")
    rows: Sequence[Sequence[str]]
    if drift.kind is Drift.ORPHANS:
        rows = [
            (
                one.task_id,
                "-" if one.size_bytes is None else format_size(one.size_bytes),
                for_people(one.first_seen_at),
                one.error or "",
            )
            for one in drift.tasks
        ]
        table(("orphan", "size", "first seen", "not counted because"), rows, right=_RIGHT)
    else:
        rows = [(one.task_id[:_ID], one.status or "-", one.user or "-") for one in drift.tasks]
        table((str(drift.kind), "status", "user"), rows)
    _more(drift.total - len(drift.tasks), "--all lists them")


def _more(count: int, how: str) -> None:
    if count > 0:
        say(f"… and {count} more ({how})", style="dim")


_ID: Final = 128
_DRIFTS: Final = {
    Drift.ORPHANS: "directories without a row",
    Drift.MISSING: "rows without their directory",
    Drift.RETURNED: "rows that say that their directory is gone, and it is there (a scan puts them right)",
    Drift.UNNAMED: "rows whose task id is none: no policy looks at them",
}


def _group_row(group: Group) -> Sequence[str]:
    name = (group.value or "-") if group.has_row else "(no row)"
    return (name, *_numbers(group.total))


def _numbers(total: Total) -> Sequence[str]:
    return (
        str(total.directories),
        str(total.files),
        format_size(total.size_bytes),
        format_size(total.freed_bytes),
    )


def _large_row(one: Large) -> Sequence[str]:
    return (
        one.task_id,
        one.status or "-",
        one.user or "-",
        str(one.files),
        format_size(one.size_bytes),
        format_size(one.freed_bytes),
        for_people(one.modified_at),
    )
