"""The command about the inventory, beside those of ``commands``."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.commands import Json, _services, app


@app.command()
def inventory(
    context: typer.Context,
    scan: Annotated[bool, typer.Option("--scan", help="Scan the storage root first.")] = False,
    largest: Annotated[int, typer.Option(min=0, max=100_000, help="How many of the largest to list.")] = 10,
    everything: Annotated[bool, typer.Option("--all", help="List all that differs, not the first ones.")] = False,
    as_json: Json = False,
) -> None:
    """Show how much lies in the storage root, whose it is, and where rows and directories differ."""
    from daemon.cli import stocktaking

    with _services(context) as services:
        stocktaking.show_inventory(services, scan=scan, largest=largest, everything=everything, as_json=as_json)
