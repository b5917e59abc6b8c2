"""Runs policy tests: the made-up tasks go into a temporary catalog, and the real selection decides about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zoneinfo import ZoneInfo

from daemon.catalog import sample, setup
from daemon.catalog.catalog import Catalog
from daemon.catalog.database import Database
from daemon.catalog.populations import SIGHTINGS
from daemon.catalog.selection import Verdict
from daemon.policy.cases import Case, CaseFile, Expected, check_policies, load_cases
from daemon.policy.loader import load_policies
from daemon.policy.models import PolicySet
from daemon.sweep.plan import Decision, make_plan

NOT_LOOKED_AT: Final = "not_looked_at"
"""Stands for a verdict where the policy does not look at the task at all."""

_VERDICTS: Final = frozenset({*Verdict, NOT_LOOKED_AT})


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that is not the one expected."""

    policy: str
    task_id: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One file's result; ``checked``: how many decisions it looked at."""

    file: str
    checked: int
    differences: tuple[Difference, ...]


def rehearse(path: Path, statuses: tuple[str, ...], running_statuses: tuple[str, ...]) -> Rehearsal:
    """Run one file. Raises DocumentError: the file or one of its policies is wrong."""
    file, document = load_cases(path, statuses)
    policies = load_policies(path.parent / file.policies, statuses=statuses)
    check_policies(file, document, [policy.name for policy in policies.policies])
    zone = ZoneInfo(file.timezone)
    with TemporaryDirectory(prefix="sweepd-test-") as folder:
        database = Path(folder) / "catalog.sqlite"
        database.touch()
        url = f"sqlite:///{database}"
        _fill(url, file, zone)
        catalog = Catalog(url, timezone=file.timezone, running_statuses=running_statuses)
        try:
            checked, differences = _compare(catalog, policies, file, _aware(file.now, zone))
        finally:
            catalog.close()
    return Rehearsal(str(path), checked, tuple(differences))


def _compare(catalog: Catalog, policies: PolicySet, file: CaseFile, now: datetime) -> tuple[int, list[Difference]]:
    checked, differences = 0, []
    for name, expected in file.expect.items():
        plan = make_plan(catalog, policies, policies.get(name), max_stays=None, at=now, backoff=False, notice=False)
        decisions = {decision.task.task_id: decision for decision in (*plan.goes, *plan.stays)}
        for task_id, wanted in _wanted(file, expected):
            checked += 1
            decision = decisions.get(task_id)
            if not _fits(wanted, decision):
                differences.append(Difference(name, task_id, wanted, _in_words(decision)))
    return checked, differences


def _wanted(file: CaseFile, expected: Expected) -> Iterator[tuple[str, str]]:
    """Of each task that is spoken of, ``goes``, ``stays``, its verdict, or a text that its reason has to have."""
    for case in file.tasks:
        if case.task_id in expected.stays:
            yield case.task_id, expected.stays[case.task_id]
        elif expected.goes is not None:
            yield case.task_id, "goes" if case.task_id in expected.goes else "stays"


def _fits(wanted: str, decision: Decision | None) -> bool:
    goes = decision is not None and decision.goes
    if wanted in ("goes", "stays"):
        return goes == (wanted == "goes")
    if goes:
        return False
    if wanted in _VERDICTS:  # a reason may have the word as well: "protected by keep-running-demos"
        return wanted == (NOT_LOOKED_AT if decision is None else decision.verdict)
    return decision is not None and wanted in decision.reason


def _in_words(decision: Decision | None) -> str:
    if decision is None:
        return f"stays ({NOT_LOOKED_AT})"
    return f"goes: {decision.reason}" if decision.goes else f"stays ({decision.verdict}): {decision.reason}"


def _fill(url: str, file: CaseFile, zone: tzinfo) -> None:
    now = _aware(file.now, zone)
    tasks = [_row(case) for case in file.tasks if case.status is not None]
    steps = [_step(case) for case in file.tasks if case.running]
    found = [_found(case, now, zone) for case in file.tasks if _is_scanned(case)]
    holds = [
        {
            "hold_id": f"{number:028}",
            "pattern": hold.task,
            "owner": hold.owner,
            "reason": hold.reason,
            "placed_at": now,
            "expires_at": hold.until and _aware(hold.until, zone),
        }
        for number, hold in enumerate(file.holds)
    ]
    database = Database(url)
    try:
        setup.adopt_pipeline(database)
        setup.migrate(database)
        sample.insert_tasks(database, tasks, steps, any_status=True)
        sample.insert_found(database, found)
        sample.insert_holds(database, holds)
    finally:
        database.close()


def _row(case: Case) -> Mapping[str, Any]:
    return {
        "task_id": case.task_id,
        "status": case.status,
        "task_name": case.task_name,
        "by_user": case.user,
        "db_name": case.database,
        "created_at": case.created_at,
        "started_at": case.started_at,
        "completed_at": case.completed_at,
        "updated_at": case.updated_at,
        "directory_exists": case.directory == "present",
        "parameters": {},
    }


def _step(case: Case) -> Mapping[str, Any]:
    return {"task_id": case.task_id, "execution_id": "e", "step_name": "ddl_generation", "step_status": "running"}


def _is_scanned(case: Case) -> bool:
    return any(value is not None for value in (case.size, case.files, case.modified_at, case.first_seen_at))


def _found(case: Case, now: datetime, zone: tzinfo) -> Mapping[str, Any]:
    first_seen = case.first_seen_at or case.created_at
    measured = case.size is not None or case.files is not None or case.modified_at is not None
    return {
        "task_id": case.task_id,
        "first_seen_at": now if first_seen is None else _aware(first_seen, zone),
        "last_seen_at": now,
        "sightings": SIGHTINGS,
        "orphan_since": now if first_seen is None else _aware(first_seen, zone),
        "orphan_sightings": SIGHTINGS,
        "signature": "",
        "measured_at": now if measured else None,
        "files": case.files,
        "size_bytes": case.size,
        "freed_bytes": case.size,
        "modified_at": case.modified_at and _aware(case.modified_at, zone),
    }


def _aware(stamp: datetime, zone: tzinfo) -> datetime:
    return (stamp.replace(tzinfo=zone) if stamp.tzinfo is None else stamp).astimezone(UTC)
