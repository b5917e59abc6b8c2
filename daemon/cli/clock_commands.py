"""``sweepd accept-clock``."""

from __future__ import annotations

import typer

from daemon.cli.commands import Json, Yes, _services, app


@app.command("accept-clock")
def accept_clock(context: typer.Context, yes: Yes = False, as_json: Json = False) -> None:
    """Believe this machine's clock though it jumped, or nothing tells how long the machine was off."""
    from daemon.cli import accepting

    with _services(context) as services:
        accepting.accept_clock(services, yes=yes, as_json=as_json)
