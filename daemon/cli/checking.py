"""``sweepd check``: the daemon's own loaders, every mistake at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from daemon.cli.exits import Exit
from daemon.cli.render import dump, say
from daemon.cli.streams import complain
from daemon.config import load_config
from daemon.errors import DocumentError, Problem
from daemon.policy.loader import load_policies, unread
from daemon.policy.models import PolicySet, json_schema
from daemon.policy.remarks import remarks
from daemon.scheduler import zone_problem


def check(path: Path, *, as_json: bool) -> Exit:
    """Load everything from ``path`` on and print what is wrong, or what was found."""
    problems: tuple[Problem, ...] = ()
    policies = PolicySet()
    passed_over: list[Path] = []
    try:
        config = load_config(path)
        passed_over = unread(config.policies)
        policies = load_policies(config.policies, statuses=config.catalog.statuses)
    except DocumentError as error:
        problems = error.problems
    zone = zone_problem(policies)
    warnings = [*remarks(policies), *([] if zone is None else [zone])]
    if as_json:
        names = [{"name": policy.name, "mode": policy.mode} for policy in policies.policies]
        dump(
            {
                "ok": not problems,
                "problems": [asdict(problem) for problem in problems],
                "policies": names,
                "protect": [protection.name for protection in policies.protect],
                "warnings": warnings,
                "unread": [str(file) for file in passed_over],
            }
        )
    elif problems:
        for problem in problems:
            complain(str(problem))
    else:
        modes = ", ".join(f"{policy.name} ({policy.mode})" for policy in policies.policies)
        number = len(policies.protect)
        say(f"ok: {len(policies.policies)} policies{': ' if modes else ''}{modes}; {number} protections")
        for warning in warnings:
            complain(f"warning: {warning}")
        for file in passed_over:
            complain(f"{file}: not read: the name of a policy file ends with .yaml or .yml")
    return Exit.DOCUMENT if problems else Exit.OK


def show_schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    print(json.dumps(json_schema(), indent=2))
