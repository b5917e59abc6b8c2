"""``sweepd manual``, for those who make packages."""

from __future__ import annotations

import typer

from daemon.cli.commands import app


@app.command(hidden=True)
def manual() -> None:
    """Print the manual page."""
    from daemon.cli import manual as page

    typer.echo(page.manual(app), nl=False)
