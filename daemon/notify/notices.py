"""Notices: what is told, how bad it is, and the words for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from daemon import clock
from daemon.catalog.notices import Notice
from daemon.catalog.sweeps import SweepRecord
from daemon.sizes import format_size
from daemon.sweep.report import SweepOutcome
from daemon.webhooks import Subject

LONGEST: Final = 1000
"""Characters of one notice's text."""
NAMED: Final = 20
"""Tasks of one sweep that are named, of those that failed."""


class Severity(StrEnum):
    """INFO: good to know. WARNING: look at it some day. ERROR: something is not done until somebody looks."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def notice(
    subject: Subject,
    kind: str,
    severity: Severity,
    text: str,
    *,
    at: datetime | None = None,
    policy: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Notice:
    """One notice, as of now unless ``at`` (aware) says otherwise; its text becomes one line."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    document = json.dumps(details or {})
    shown = line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
    return Notice(subject, kind, severity, at or clock.now(), policy, shown, document)


def of_sweep(record: SweepRecord) -> Notice:
    """What a sweep came to. Each one is one notice, by the worst of what can be said of it."""
    report: dict[str, Any] = json.loads(record.report or "{}")
    subject, kind, severity = _judge(record, report)
    details = {
        "sweep_id": record.sweep_id,
        "mode": record.mode,
        "outcome": record.outcome,
        "trigger": record.trigger,
        "considered": record.considered,
        "selected": record.selected,
        "deleted": record.deleted,
        "failed": record.failed,
        "failed_again": report.get("failed_again_count", 0),
        "dropped": record.dropped,
        "size_bytes": record.size_bytes,
        "freed_bytes": report.get("freed_bytes"),
        "limits": report.get("limits", []),
        "quota": report.get("quota", []),
        "failed_tasks": report.get("failed", [])[:NAMED],
        "error": record.error,
    }
    return notice(
        subject,
        kind,
        severity,
        _sweep_in_words(record, report),
        at=record.finished_at,
        policy=record.policy,
        details=details,
    )


def _judge(record: SweepRecord, report: Mapping[str, Any]) -> tuple[Subject, str, Severity]:
    if record.outcome == SweepOutcome.BLOCKED:
        return Subject.LIMITS, "sweep.blocked", Severity.ERROR
    short = any(result.get("shortfall") for result in report.get("quota", []))
    if record.outcome == SweepOutcome.FAILED or record.failed or (record.outcome == SweepOutcome.PARTIAL and not short):
        severity = Severity.ERROR if record.outcome == SweepOutcome.FAILED else Severity.WARNING
        return Subject.FAILURES, "sweep.failed", severity
    if short:
        return Subject.QUOTAS, "quota.not_reached", Severity.ERROR
    if report.get("limits"):
        return Subject.LIMITS, "sweep.cut_short", Severity.WARNING
    return Subject.SWEEPS, "sweep.finished", Severity.INFO


def _sweep_in_words(record: SweepRecord, report: Mapping[str, Any]) -> str:
    if record.outcome == SweepOutcome.OBSERVED:
        return f"policy {record.policy} would delete {record.selected} of {record.considered} tasks (mode observe)"
    counts = [f"{record.deleted} of {record.selected} selected tasks deleted ({format_size(record.size_bytes)})"]
    if record.failed:
        first = next((f" ({one['reason']})" for one in report.get("failed", []) if record.error is None), "")
        counts.append(f"{record.failed} failed{first}")
    counts += [f"{record.dropped} dropped out"] if record.dropped else []
    text = f"policy {record.policy}: {record.outcome}; {', '.join(counts)}"
    return text if record.error is None else f"{text}; {record.error}"
