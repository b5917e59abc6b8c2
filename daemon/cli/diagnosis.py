"""Prints what the doctor finds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from daemon import log
from daemon.cli.exits import Exit
from daemon.cli.render import dump, say, say_message
from daemon.doctor.examination import examine
from daemon.doctor.findings import State

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILURE: "bold red", State.SKIPPED: "dim"}


def show(path: Path, *, as_json: bool) -> Exit:
    """One line for each thing that was looked at, and below it what to do; the exit status."""
    log.configure("error", "console")
    findings = []
    for finding in examine(path):
        findings.append(finding)
        if not as_json:
            say_message(f"{finding.state:8} {finding.check}: {finding.found}", _STYLES[finding.state])
            if finding.remedy:
                say_message(f"         -> {finding.remedy}")
    failures = sum(finding.state is State.FAILURE for finding in findings)
    if as_json:
        dump({"ok": not failures, "findings": [asdict(finding) for finding in findings]})
    else:
        warnings = sum(finding.state is State.WARNING for finding in findings)
        say(f"{failures} failures, {warnings} warnings")
    return Exit.UNFIT if failures else Exit.OK
