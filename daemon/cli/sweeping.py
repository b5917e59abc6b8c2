"""``sweepd sweep``: one policy, once, now."""

from __future__ import annotations

from contextlib import suppress

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from daemon.app.janitor import tidy
from daemon.app.services import Services
from daemon.catalog.selection import Verdict
from daemon.cli.exits import Exit
from daemon.cli.initiator import initiator
from daemon.cli.render import UNLESS, console, dump, say, say_message, table
from daemon.deletion.models import Trigger
from daemon.errors import SweepdError
from daemon.moments import for_people, in_local_time
from daemon.notify.announcing import announce, announces
from daemon.policy.models import Mode, Quota
from daemon.sizes import format_size
from daemon.sweep import stored
from daemon.sweep.report import QuotaResult, SweepOutcome, SweepReport

_EXITS = {SweepOutcome.BLOCKED: Exit.LIMIT, SweepOutcome.SUCCESS: Exit.OK, SweepOutcome.OBSERVED: Exit.OK}


def sweep(services: Services, name: str, *, digest: str | None = None, retry: bool = False, as_json: bool) -> Exit:
    """Sweep, by the stored plan of that digest or a new one, and print the report. Raises SweepdError if it could not.

    What dropped out of a stored plan counts as not deleted: somebody has reviewed it and expects it to go.
    """
    policies = services.load_policies()
    policy = policies.get(name)
    plan = None if digest is None else stored.load(services.catalog, policy, digest)
    if policy.notice is not None:  # nobody else announces where no daemon runs
        announce(services.catalog, policies, policy, tell=announces(services.config.notifications))
    if policy.mode is Mode.ENFORCE:
        with suppress(SweepdError, OSError):  # the sweep itself meets the same, and tells it
            tidy(services)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        line = bar.add_task("planning", total=None)

        def progress(report: SweepReport) -> None:
            bar.update(line, description=f"sweeping {name}", total=report.selected, completed=report.attempted)

        report = services.sweeper.sweep(
            policies, policy, Trigger.CLI, initiator(), progress=progress, plan=plan, retry=retry
        )
    if as_json:
        dump(report.document())
    else:
        show_report(report)
    if (plan is not None and report.dropped) or ((plan is not None or retry) and report.failed_again):
        return Exit.NOT_DELETED
    return _EXITS.get(report.outcome, Exit.NOT_DELETED)


def show_report(report: SweepReport) -> None:
    """Print what a sweep did and why the rest stayed."""
    good = report.succeeded
    say(f"sweep of {report.policy}: {report.outcome}", style="bold green" if good else "bold red")
    if report.error:
        say_message(report.error)
    if report.outcome is SweepOutcome.OBSERVED:
        say(f"would delete {report.selected} of {report.plan.considered} tasks; mode observe deletes nothing")
        return
    had = report.directories_deleted
    which = "" if had == len(report.deleted) else f", of which {had} had a directory"
    say(
        f"deleted {len(report.deleted)} of {report.selected} selected tasks{which}: {report.files} files, "
        f"{format_size(report.size_bytes)}, {format_size(report.freed_bytes)} of disk space freed"
    )
    waiting = [outcome.retained_until for outcome in report.deleted if outcome.retained_until is not None]
    if waiting:
        say(
            f"{len(waiting)} of them wait in the trash: their space comes when they are purged, from "
            f"{for_people(min(waiting))} on, {UNLESS}"
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
    if backing_off := report.plan.stay_counts[Verdict.BACKING_OFF]:
        tasks = "1 task" if backing_off == 1 else f"{backing_off} tasks"
        say(
            f"{tasks} could not be deleted before; to try again at once: sweepd sweep {report.policy} --retry",
            style="yellow",
        )
    missed = [
        (one.task_id, one.code, in_local_time(one.reason))
        for one in (*report.failed, *report.failed_again, *report.dropped)
    ]
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
