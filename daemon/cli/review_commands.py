"""The commands that look before and after: tests of policies, one task before every policy, and what sweeps did."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.commands import Json, _services, app, server_of


class _Trigger(StrEnum):
    """As ``daemon.deletion.models``, which takes long to import."""

    API = "api"
    SWEEP = "sweep"
    CLI = "cli"


class _State(StrEnum):
    """As ``daemon.catalog.ledger``, likewise."""

    COMMITTED = "committed"
    PURGED = "purged"
    ABORTED = "aborted"
    RESTORED = "restored"


@app.command()
def explain(
    context: typer.Context,
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The task to ask about.")],
    at: Annotated[
        str | None, typer.Option(metavar="DATE", help="As of that date or date-time, as for `sweepd plan`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what every policy makes of one task, clause by clause, and when it could go."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import planning as there

        there.show_explanation(server, task_id, at=at, as_json=as_json)
        return
    from daemon.cli import explaining

    with _services(context) as services:
        explaining.show_explanation(services, task_id, at=at, as_json=as_json)


@app.command()
def sweeps(
    context: typer.Context,
    policy: Annotated[str | None, typer.Argument(help="One policy; all if left out.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List the last sweeps and what they did."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import sweeping as there

        there.show_sweeps(server, policy, limit=limit, as_json=as_json)
        return
    from daemon.cli import history

    with _services(context) as services:
        history.show_sweeps(services, policy, limit=limit, as_json=as_json)


@app.command()
def deletions(
    context: typer.Context,
    task_id: Annotated[
        str | None, typer.Argument(metavar="[TASK|GLOB]", help="Of these tasks; all if left out.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Only those of this policy.")] = None,
    sweep_id: Annotated[str | None, typer.Option("--sweep", metavar="SWEEP", help="Only those of this sweep.")] = None,
    initiator: Annotated[str | None, typer.Option(help="Only those of whoever it was, such as cli:alice.")] = None,
    trigger: Annotated[_Trigger | None, typer.Option(help="Only those that came about like this.")] = None,
    state: Annotated[_State | None, typer.Option(help="Only those in this state.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="From that date or date-time on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Before that date or date-time.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="How many at most: 50 if left out, as CSV or JSON all.")
    ] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of text.")] = False,
) -> None:
    """List what was deleted: by whom, when, why, by which policy, and what came of it."""
    from daemon.cli import auditing

    if as_json and as_csv:
        raise typer.BadParameter("give one of --json and --csv, not both")
    with _services(context) as services:
        auditing.show_deletions(
            services,
            task_id=task_id,
            policy=policy,
            sweep_id=sweep_id,
            initiator=initiator,
            trigger=trigger,
            state=state,
            since=since,
            until=until,
            limit=limit,
            as_json=as_json,
            as_csv=as_csv,
        )


@app.command("test")
def run_policy_tests(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Policy tests, in YAML.")],
    as_json: Json = False,
) -> None:
    """Run policy tests: made-up tasks, a date, and what is expected to go. Needs no database."""
    from daemon.cli import testing

    raise typer.Exit(testing.run_tests(context.obj, files, as_json=as_json))
