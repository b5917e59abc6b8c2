"""``sweepd policies``: those of the files, or with ``--server`` those the daemon works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daemon.cli.render import dump, say, table


def from_files(config_file: Path) -> dict[str, Any]:
    """The policies of the files, as the API lists those in force. Raises DocumentError."""
    from daemon.config import load_config
    from daemon.policy.loader import load_policies
    from daemon.sweep.documents import policy_document

    config = load_config(config_file)
    found = load_policies(config.policies, statuses=config.catalog.statuses)
    return {
        "policies": [policy_document(policy) for policy in found.policies],
        "protect": [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in found.protect],
        "digest": found.digest,
        "total": len(found.policies),
    }


def show(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print them."""
    if as_json:
        dump(found)
        return
    rows = [
        (one["name"], one["mode"], _schedule(one.get("schedule")), one.get("description") or "-")
        for one in found["policies"]
    ]
    table(("policy", "mode", "schedule", "description"), rows)
    say(f"{len(rows)} policies, {_count(found['protect'])}; digest {found['digest'][:12]}", style="dim")


def _schedule(schedule: Mapping[str, Any] | None) -> str:
    if not schedule:
        return "by hand"
    when = f"cron {schedule['cron']}" if schedule.get("cron") else f"every {schedule.get('every')}"
    zone = schedule.get("timezone")
    return f"{when} {zone}" if zone else when


def _count(protect: Sequence[object]) -> str:
    return f"{len(protect)} protections"
