"""``sweepd accept-database``."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.commands import Json, Yes, _services, app


@app.command("accept-database")
def accept_database(
    context: typer.Context,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is the right one; kept in the storage root.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Go on with a database that has forgotten deletions, because it was put back from a backup."""
    from daemon.cli import accepting, deleting

    why = deleting.parse_reason(reason)
    if not why:
        raise typer.BadParameter("say why, in one line", param_hint="--reason")
    with _services(context) as services:
        accepting.accept_database(services, why, yes=yes, as_json=as_json)
