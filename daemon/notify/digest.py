"""Messages: what has happened within a window, as one document. ``docs/reference/notifications.md`` describes it."""

from __future__ import annotations

import json
import secrets
import socket
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from daemon.catalog.notices import Notice
from daemon.catalog.outbox import Message
from daemon.notify.notices import Severity
from daemon.webhooks import Webhook

ITEMS: Final = 50
"""Notices that one message holds; what is left out is counted."""
LINES: Final = 20
"""Notices that its text holds."""
_WORST_FIRST: Final = (Severity.ERROR, Severity.WARNING, Severity.INFO)


def digest(webhook: Webhook, notices: Sequence[Notice], root: str, now: datetime) -> Message | None:
    """The message to one webhook about those of these notices that it asks for; None if there are none.

    The worst ones first. ``root``: the storage root they are about; ``now``: aware.
    """
    wanted = [one for one in notices if one.subject in webhook.events]
    if not wanted:
        return None
    wanted.sort(key=lambda one: _WORST_FIRST.index(Severity(one.severity)))
    shown = wanted[:ITEMS]
    data = {
        "host": socket.gethostname(),
        "storage_root": root,
        "total": len(wanted),
        "omitted": len(wanted) - len(shown),
        "counts": dict(Counter(one.type for one in wanted)),
        "items": [_item(one) for one in shown],
    }
    return _message(webhook, "sweepd.digest", data, _text(wanted), now)


def trial(webhook: Webhook, root: str, now: datetime) -> Message:
    """A message that says nothing has happened."""
    data = {"host": socket.gethostname(), "storage_root": root, "events": list(webhook.events)}
    return _message(webhook, "sweepd.test", data, ["a test: this webhook works"], now)


def _message(webhook: Webhook, kind: str, data: dict[str, Any], lines: Sequence[str], now: datetime) -> Message:
    text = "\n".join(f"{'• ' if len(lines) > 1 else ''}{line}" for line in lines)
    headed = f"sweepd on {data['host']}, {data['storage_root']}:{chr(10) if len(lines) > 1 else ' '}{text}"
    if webhook.format == "slack":
        document: dict[str, Any] = {"text": _escape(headed)}
    else:
        stamp = now.isoformat(timespec="seconds").replace("+00:00", "Z")
        document = {"type": kind, "timestamp": stamp, "data": data, "text": headed}
    body = json.dumps(document)
    return Message(f"msg_{secrets.token_hex(14)}", webhook.name, now, body)


def _item(one: Notice) -> dict[str, Any]:
    return {
        "type": one.type,
        "subject": one.subject,
        "severity": one.severity,
        "at": one.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "policy": one.policy,
        "text": one.text,
        "details": json.loads(one.details),
    }


def _text(wanted: Sequence[Notice]) -> list[str]:
    lines = [one.text for one in wanted[:LINES]]
    return lines if len(wanted) <= LINES else [*lines, f"and {len(wanted) - LINES} more"]


def _escape(text: str) -> str:
    """Slack's own rule: these three mean something to it, and a task's name must not call everybody (<!channel>)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
