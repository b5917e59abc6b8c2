"""``sweepd reload``: lets a running daemon load its files anew."""

from __future__ import annotations

import typer

from daemon.cli.commands import _services, app, server_of


@app.command()
def reload(context: typer.Context) -> None:
    """Let the running daemon load configuration and policies anew: all of it, or on any mistake nothing."""
    if (server := server_of(context)) is not None:
        from daemon.cli.render import say

        with server.client() as client:
            done = client.reload()
        changed = ", ".join(done["changed"]) or "nothing has changed"
        say(f"reloaded; policies: {', '.join(done['policies']) or 'none'}; changed: {changed}")
        return
    from daemon.cli.reloading import reload_here

    with _services(context) as services:
        reload_here(services)
