"""``sweepd sweep``: one policy, once, now."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from daemon.app.services import Services
from daemon.cli.exits import Exit
from daemon.cli.render import console, dump, say, table
from daemon.deletion.models import Trigger
from daemon.policy.models import Quota
from daemon.sizes import format_size
from daemon.sweep.report import QuotaResult, SweepOutcome, SweepReport

_EXITS = {SweepOutcome.BLOCKED: Exit.LIMIT, SweepOutcome.SUCCESS: Exit.OK, SweepOutcome.OBSERVED: Exit.OK}


def sweep(services: Services, name: str, *, as_json: bool) -> Exit:
    """Sweep and print the report. Raises SweepdError if it could not run."""
    policies = services.load_policies()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        line = bar.add_task("planning", total=None)

        def progress(report: SweepReport) -> None:
            done = len(report.deleted) + len(report.failed) + len(report.dropped)
            bar.update(line, description=f"sweeping {name}", total=report.selected, completed=done)

        report = services.sweeper.sweep(
            policies, policies.get(name), Trigger.CLI, f"cli:{getpass.getuser()}", progress=progress
        )
    if as_json:
        dump(report_json(report))
    else:
        show_report(report)
    return _EXITS.get(report.outcome, Exit.NOT_DELETED)


def show_report(report: SweepReport) -> None:
    """Print what a sweep did and why the rest stayed."""
    good = report.succeeded
    say(f"sweep of {report.policy}: {report.outcome}", style="bold green" if good else "bold red")
    if report.error:
        say(report.error)
    if report.outcome is SweepOutcome.OBSERVED:
        say(f"would delete {report.selected} of {report.plan.considered} tasks; mode observe deletes nothing")
        return
    say(
        f"deleted {len(report.deleted)} of {report.selected} selected tasks: {report.files} files, "
        f"{format_size(report.size_bytes)}, {format_size(report.freed_bytes)} of disk space freed"
    )
    for result in report.quota:
        say(_quota(result, report.plan.policy.quota))
    if report.truncated_to is not None:
        limits = ", ".join(report.limits)
        say(f"{limits} took the first {report.truncated_to}; the rest waits for the next sweep")
    if report.not_attempted and report.truncated_to is None:
        say(f"{report.not_attempted} were not attempted")
    stays = ", ".join(
        f"{count} {verdict.replace('_', ' ')}" for verdict, count in report.plan.stay_counts.most_common()
    )
    if stays:
        say(f"stayed: {stays}")
    missed = [(m.task_id, m.code, m.reason) for m in (*report.failed, *report.dropped)]
    if missed:
        table(("not deleted", "code", "because"), missed)


def _quota(result: QuotaResult, quota: Quota | None) -> str:
    def amount(value: int) -> str:
        return f"{value} inodes" if quota and quota.measure == "inodes" else format_size(value)

    whose = "" if result.group is None else f" of {result.group}"
    if result.used_before < result.high:
        return (
            f"{amount(result.used_before)}{whose} are in use, below the high mark {amount(result.high)}: nothing to do"
        )
    trash = f" ({amount(result.purged)} of it from the trash)" if result.purged > 0 else ""
    went = f"from {amount(result.used_before)} to {amount(result.used)}{whose}{trash}"
    return f"{went}, the low mark is {amount(result.low)}"


def report_json(report: SweepReport) -> dict[str, Any]:
    """A report as ``--json`` prints it; sizes in bytes."""
    return {
        "sweep_id": report.sweep_id,
        "policy": report.policy,
        "mode": report.plan.policy.mode,
        "outcome": report.outcome,
        "error": report.error,
        "considered": report.plan.considered,
        "selected": report.selected,
        "truncated_to": report.truncated_to,
        "limits": report.limits,
        "quota": [asdict(result) for result in report.quota],
        "not_attempted": report.not_attempted,
        "stay_counts": dict(report.plan.stay_counts),
        "files": report.files,
        "size_bytes": report.size_bytes,
        "freed_bytes": report.freed_bytes,
        "deleted": [outcome.task_id for outcome in report.deleted],
        "would_delete": [d.task.task_id for d in report.chosen] if report.outcome is SweepOutcome.OBSERVED else [],
        "failed": [{"task_id": m.task_id, "code": m.code, "reason": m.reason} for m in report.failed],
        "dropped": [{"task_id": m.task_id, "code": m.code, "reason": m.reason} for m in report.dropped],
    }
