"""The command about notifications, beside those of ``commands``."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.commands import Json, _configure, app

notify = typer.Typer(help="What webhooks are told.", no_args_is_help=True)
app.add_typer(notify, name="notify")


@notify.command("test")
def send_test(
    context: typer.Context,
    webhook: Annotated[str | None, typer.Argument(help="One webhook; all if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Send a test message to the configured webhooks, now, and say what became of it."""
    from daemon.cli import notifying

    raise typer.Exit(notifying.send_test(_configure(context, quiet=True), webhook, as_json=as_json))
