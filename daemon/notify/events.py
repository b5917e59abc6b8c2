"""Which events of the log are worth telling. The log tells; this only listens, and keeps nobody waiting."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from daemon import clock
from daemon.catalog.notices import Notice
from daemon.errors import ErrorCode
from daemon.notify.notices import Severity, notice
from daemon.webhooks import Subject

MOST: Final = 200
"""Notices that wait for the database; of more, the oldest go."""
AGAIN: Final = timedelta(days=1)
"""Something that goes on happening to the same thing is told so often."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is told of an event: ``text`` names its fields in braces.

    ``once``: told once a day; with ``about``, once for each value of that field.
    """

    severity: Severity
    text: str
    once: bool = True
    about: str | None = None


ALARMS: Final[dict[str, Rule]] = {
    "drift_found": Rule(
        Severity.WARNING,
        "rows and directories differ: {orphans} directories without a row, {missing} rows without their directory",
        once=False,
    ),
    "reload_failed": Rule(Severity.WARNING, "a reload was refused, everything stays as it was: {reason}", once=False),
    "tokens_unreadable": Rule(Severity.ERROR, "no token of the file is taken, it cannot be read: {reason}"),
    "trash_purged_early": Rule(
        Severity.WARNING, "the disk is full: what has waited longest in the trash goes before its time"
    ),
    "audit_file_failed": Rule(
        Severity.ERROR, "the audit file cannot be written, it falls behind the journal: {reason}"
    ),
    "purge_failed": Rule(Severity.WARNING, "what is due in the trash cannot be purged: {reason}"),
    "scan_failed": Rule(Severity.WARNING, "the storage root cannot be scanned: {reason}"),
    "recovery_conflict": Rule(Severity.ERROR, "somebody has to choose ({task_ids}): {reason}", about="deletion_id"),
    "trash_entry_quarantined": Rule(
        Severity.ERROR, "an entry of the trash was put into quarantine ({entry_id}): {reason}", about="entry_id"
    ),
    "retained_directory_missing": Rule(
        Severity.ERROR,
        "a directory is not in the trash, though the journal says so: deletion {deletion_id}",
        about="deletion_id",
    ),
}
BUGS: Final = (
    "sweep_crashed",
    "auditing_crashed",
    "scan_crashed",
    "janitor_crashed",
    "reload_crashed",
    "job_crashed",
    "batch_deletion_crashed",
    "request_crashed",
    "refusals_crashed",
    "supervisor_crashed",
)
"""Each is a bug in sweepd, told once a day."""


class Events:
    """Collects notices of events, from any thread. ``take`` gives what has come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notices: deque[Notice] = deque(maxlen=MOST)
        self._told: dict[tuple[str, str], float] = {}

    def listen(self, level: str, event: Mapping[str, Any]) -> None:
        """For `daemon.log.listening`."""
        del level  # the event's name says what it is
        name = str(event.get("event"))
        if name in ALARMS:
            rule = ALARMS[name]
            if not rule.once or self._is_new(name, str(event.get(rule.about)) if rule.about else ""):
                self._keep(name, rule.severity, Subject.ALARMS, rule.text.format_map(_Fields(event)))
        elif name in BUGS:
            if self._is_new(name, ""):
                text = f"a bug in sweepd ({name}): its traceback is in the log"
                self._keep(name, Severity.ERROR, Subject.ALARMS, text)
        elif _could_not_run(name, event):
            policy = str(event.get("policy"))
            text = f"policy {policy} could not run: {event.get('reason')}"
            self._keep("sweep.failed", Severity.ERROR, Subject.FAILURES, text, policy=policy)

    def take(self) -> list[Notice]:
        """Everything since the last time."""
        with self._lock:
            taken = list(self._notices)
            self._notices.clear()
        return taken

    def _keep(self, kind: str, severity: Severity, subject: Subject, text: str, *, policy: str | None = None) -> None:
        made = notice(subject, kind, severity, text, policy=policy)
        with self._lock:
            self._notices.append(made)

    def _is_new(self, name: str, about: str) -> bool:
        now = clock.monotonic()
        with self._lock:
            self._told = {key: at for key, at in self._told.items() if now - at < AGAIN.total_seconds()}
            if (name, about) in self._told:
                return False
            if len(self._told) >= MOST:  # the oldest of them is told again, if it comes again
                del self._told[next(iter(self._told))]
            self._told[name, about] = now
            return True


_EMPTY: Final = (ErrorCode.CATALOG_EMPTY, ErrorCode.CATALOG_MISMATCH, ErrorCode.ROOT_UNAVAILABLE)


def _could_not_run(name: str, event: Mapping[str, Any]) -> bool:
    """A sweep of which there is no record to tell of; why it was refused is mostly an alarm of its own."""
    if name == "sweep_refused":
        return event.get("error") in _EMPTY
    return name == "sweep_finished" and "sweep_id" not in event


class _Fields(dict[str, Any]):
    """What an event does not say is left open."""

    def __missing__(self, key: str) -> str:
        return "?"
