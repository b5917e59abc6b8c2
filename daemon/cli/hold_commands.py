"""The commands about holds, beside those of ``commands``."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.commands import Json, _services, app, server_of


@app.command()
def hold(
    context: typer.Context,
    patterns: Annotated[
        list[str], typer.Argument(metavar="TASK|GLOB...", help="Tasks, or patterns of * and ? that mean several.")
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; everybody who is refused is told.")],
    until: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Such as 2026-12-31, to the end of that day; or a date and time."),
    ] = None,
    lasting: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Instead: such as 30d.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="Whose hold it is; you, if left out.")] = None,
    all_tasks: Annotated[
        bool, typer.Option("--all-tasks", help="Needed for a pattern that matches every task.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep tasks from being deleted by anybody, until the hold is over or released."""
    from daemon.cli import holding

    terms = [
        holding.terms(pattern, reason=reason, until=until, lasting=lasting, owner=owner, all_tasks=all_tasks)
        for pattern in dict.fromkeys(patterns)
    ]
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import holding as there
        from daemon.moments import for_machines

        there.place(
            server,
            [one.pattern for one in terms],
            reason=reason,
            until=None if terms[0].until is None else for_machines(terms[0].until),
            lasting=lasting,
            owner=owner,
            all_tasks=all_tasks,
            as_json=as_json,
        )
        return
    with _services(context) as services:
        holding.place(services, terms, as_json=as_json)


@app.command()
def holds(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over or released, too.")] = False,
    as_json: Json = False,
) -> None:
    """List the holds in force."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import holding as there

        there.show(server, everything=everything, as_json=as_json)
        return
    from daemon.cli import holding

    with _services(context) as services:
        holding.show(services, everything=everything, as_json=as_json)


@app.command()
def release(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="HOLD|TASK|GLOB...", help="Holds, or exactly what they were placed on.")
    ],
    as_json: Json = False,
) -> None:
    """Release holds, so that their tasks can be deleted again."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import holding as there

        raise typer.Exit(there.release(server, names, as_json=as_json))
    from daemon.cli import holding

    with _services(context) as services:
        raise typer.Exit(holding.release(services, names, as_json=as_json))
