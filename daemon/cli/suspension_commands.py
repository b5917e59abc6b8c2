"""``sweepd resume``: lets a policy run again that has suspended itself."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.commands import _services, app


@app.command()
def resume(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="The policy that has suspended itself.")],
) -> None:
    """Let a policy run again that has suspended itself because its sweeps kept failing."""
    from daemon.cli.render import say

    with _services(context) as services:
        name = services.load_policies().get(policy).name
        lifted = services.sweeper.suspensions.lift(name, "resumed by hand")
        say(f"policy {name} runs again" if lifted else f"policy {name} is not suspended")
