"""``sweepd notify test``: whether the receivers take what the daemon would send. It needs no daemon and no database."""

from __future__ import annotations

import typer

from daemon import clock
from daemon.cli.exits import Exit
from daemon.cli.render import dump, say
from daemon.config import Config
from daemon.notify.digest import trial
from daemon.notify.sending import post


def send_test(config: Config, name: str | None, *, as_json: bool) -> Exit:
    """Send one message to each webhook, or to that one. Raises typer.BadParameter if there is none (of that name)."""
    webhooks = config.notifications.webhooks
    chosen = [webhook for webhook in webhooks if name in (None, webhook.name)]
    if not webhooks:
        raise typer.BadParameter(f"{config.file} names no webhook: add one to `notifications.webhooks`")
    if not chosen:
        known = ", ".join(webhook.name for webhook in webhooks)
        raise typer.BadParameter(f"there is no webhook {name}; known ones: {known}")
    shown = []
    for webhook in chosen:
        message = trial(webhook, str(config.storage.root), clock.now())
        error = post(webhook, message.message_id, message.body).error
        shown.append({"webhook": webhook.name, "message_id": message.message_id, "sent": error is None, "error": error})
        if not as_json:
            said = f"{webhook.where} took {message.message_id}" if error is None else f"not taken: {error}"
            say(f"{webhook.name}: {said}")
    if as_json:
        dump({"webhooks": shown})
    return Exit.OK if all(one["sent"] for one in shown) else Exit.FAILED
