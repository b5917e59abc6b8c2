"""The commands that look before and after: tests of policies, one task before every policy, and what sweeps did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.commands import Json, _services, app, server_of


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


@app.command("test")
def run_policy_tests(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Policy tests, in YAML.")],
    as_json: Json = False,
) -> None:
    """Run policy tests: made-up tasks, a date, and what is expected to go. Needs no database."""
    from daemon.cli import testing

    raise typer.Exit(testing.run_tests(context.obj, files, as_json=as_json))
