"""``sweepd doctor``: what an installation lacks, and what to do about it."""

from __future__ import annotations

import typer

from daemon.cli.commands import Json, app


@app.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Look at configuration, storage root, database, policies, address and unit; say what to do. Changes nothing."""
    from daemon.cli import diagnosis

    raise typer.Exit(diagnosis.show(context.obj, as_json=as_json))
