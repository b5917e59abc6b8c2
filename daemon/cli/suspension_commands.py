"""``sweepd resume``: lets a policy run again that has suspended itself."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.commands import _services, app


@app.command()
def resume(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="The policy that has suspended itself, or has failing tasks.")],
) -> None:
    """Let a policy run again that has suspended itself, and try again at once what it could not delete."""
    from daemon.cli.render import say

    with _services(context) as services:
        name = services.load_policies().get(policy).name
        retried = services.sweeper.suspensions.retry(name)
        lifted = services.sweeper.suspensions.lift(name, "resumed by hand")
        say(f"policy {name} runs again" if lifted else f"policy {name} is not suspended")
        if retried:
            tasks = "1 task that failed is" if retried == 1 else f"{retried} tasks that failed are"
            say(f"{tasks} tried again by its next sweep")
