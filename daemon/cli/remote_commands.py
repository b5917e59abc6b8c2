"""The commands about a running daemon, beside those of ``commands``."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.commands import Json, app, server_of


@app.command()
def jobs(
    context: typer.Context,
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job; the last ones if left out.")] = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only those queued, running, finished or cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its progress to its end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel what has not begun.")] = False,
    as_json: Json = False,
) -> None:
    """List what a daemon deletes in the background; follow or cancel one. Needs --server."""
    server = server_of(context)
    if server is None:
        raise typer.BadParameter("jobs are a running daemon's: give --server URL, such as http://127.0.0.1:8084")
    if job_id is None and (follow or cancel):
        raise typer.BadParameter("name the job to follow or to cancel")
    from daemon.cli.remote import jobs as there

    if job_id is None:
        there.show_jobs(server, state=state, limit=limit, as_json=as_json)
        return
    raise typer.Exit(there.show_job(server, job_id, follow=follow, cancel=cancel, as_json=as_json))


@app.command()
def policies(context: typer.Context, as_json: Json = False) -> None:
    """List the policies of the files; with --server those that the daemon works with."""
    from daemon.cli import policy_list

    if (server := server_of(context)) is not None:
        with server.client() as client:
            found = client.policies()
    else:
        found = policy_list.from_files(context.obj)
    policy_list.show(found, as_json=as_json)
