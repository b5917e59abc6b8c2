"""One task before every policy: what each says of it, and what keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from daemon.catalog import populations, tasks
from daemon.catalog.catalog import Catalog
from daemon.catalog.holds import Hold, active
from daemon.catalog.instants import Instant
from daemon.catalog.patterns import fits
from daemon.catalog.populations import SIGHTINGS, Measured
from daemon.catalog.rows import TaskRow
from daemon.errors import ErrorCode, TaskRefused
from daemon.policy.models import Policy, PolicySet
from daemon.storage.names import check_task_id
from daemon.sweep.eligibility import Facts, protecting
from daemon.sweep.plan import Decision, decide


@dataclass(frozen=True, slots=True)
class Answer:
    """One policy's decision, or, if it does not look at the task at all, why not."""

    policy: Policy
    decision: Decision | None
    not_looked_at: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """``task`` is None for a directory without a row; ``protections`` are the names of those that keep it."""

    task_id: str
    task: TaskRow | None
    measured: Measured | None
    now: Instant
    zone: tzinfo
    holds: tuple[Hold, ...]
    protections: tuple[str, ...]
    answers: tuple[Answer, ...]


def explain(catalog: Catalog, policies: PolicySet, task_id: str, at: datetime | None = None) -> Explanation:
    """Ask every policy, as of ``at`` (aware) or now.

    Raises TaskRefused (INVALID_TASK_ID, or TASK_NOT_FOUND if there is no row and no scan has met a directory),
    CatalogUnavailable or CatalogNotReady.
    """
    check_task_id(task_id)
    with catalog.read(at) as session:
        connection, zone = session.connection, session.zone
        row = tasks.find(connection, session.tables, task_id)
        measured = populations.measured_of(connection, task_id, orphan=row is None)
        if row is None and measured is None:
            message = f"there is no task {task_id}, and no scan has met a directory of that name"
            raise TaskRefused(message, code=ErrorCode.TASK_NOT_FOUND)
        answers = []
        for policy in policies.policies:
            selection = catalog.select(session, policy, policies)
            judged = selection.judge_some(connection, [task_id]).get(task_id)
            if judged is None:
                answers.append(Answer(policy, None, _not_looked_at(policy, row)))
            else:
                answers.append(Answer(policy, decide(judged, selection, zone), None))
        holding = tuple(h for h in active(connection, session.now.utc) if fits(h.pattern, task_id))
        known = Facts(row or _without_row(task_id), measured, False, None, holding)
        return Explanation(
            task_id=task_id,
            task=row,
            measured=measured,
            now=session.now,
            zone=zone,
            holds=holding,
            protections=tuple(protecting(policies.protect, known, session.now.utc, zone)),
            answers=tuple(answers),
        )


def _without_row(task_id: str) -> TaskRow:
    return TaskRow(task_id, None, None, None, None, None, None, None, None, True)


def _not_looked_at(policy: Policy, row: TaskRow | None) -> str:
    if policy.source == "orphans":
        if row is not None:
            return "it has a row; the policy looks at directories without one"
        return f"fewer than {SIGHTINGS} scans in a row have met it without a row"
    if row is None:
        return "it has no row; the policy looks at those that have one"
    if policy.action.what == "records":
        where = "there" if row.directory_exists else "in the trash still"
        return f"its directory is {where}; the policy deletes the records of those whose directory is gone for good"
    return "its directory is gone already"
