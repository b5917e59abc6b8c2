"""The plan: what one policy would do at one instant, frozen. A preview and a real sweep make the same one."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, tzinfo

from daemon.catalog.catalog import Catalog
from daemon.catalog.instants import Instant
from daemon.catalog.populations import Measured
from daemon.catalog.rows import TaskRow
from daemon.catalog.selection import Judged, Selection, Verdict
from daemon.policy.models import Mode, Policy, PolicySet
from daemon.sweep.eligibility import Eligibility, Facts, earliest
from daemon.sweep.reasons import ClauseResult, clause_results, reason


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one task: it goes, or it stays, and why.

    ``clauses`` is empty in a plan that was stored; ``eligible`` says when one that stays could go.
    """

    task: TaskRow
    verdict: Verdict
    reason: str
    clauses: tuple[ClauseResult, ...]
    measured: Measured | None = None
    eligible: Eligibility | None = None

    @property
    def goes(self) -> bool:
        return self.verdict is Verdict.SELECTED


@dataclass(frozen=True, slots=True)
class Plan:
    """``goes`` is complete, the oldest first; ``stays`` holds examples up to the number asked for.

    ``considered``: all tasks the policy looked at; ``stay_counts``: how many stay, by verdict.
    """

    policy: Policy
    now: Instant
    goes: tuple[Decision, ...]
    stays: tuple[Decision, ...]
    stay_counts: Counter[Verdict]

    @property
    def considered(self) -> int:
        return len(self.goes) + self.stay_counts.total()

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what the policy does and the tasks that go, with their state."""
        content = hashlib.sha256(meaning(self.policy).encode())
        for decision in self.goes:
            content.update(f"\n{decision.task!r}".encode())
        return content.hexdigest()


def meaning(policy: Policy) -> str:
    """SHA-256, in hex, of what the policy selects and does: not of when it runs, nor of whether it may delete yet."""
    timeless = {"mode": Mode.OBSERVE, "schedule": None, "catch_up": False, "description": ""}
    return policy.model_copy(update=timeless).digest


def make_plan(
    catalog: Catalog, policies: PolicySet, policy: Policy, *, max_stays: int | None = 0, at: datetime | None = None
) -> Plan:
    """Judge every task. ``max_stays``: how many that stay are kept with their reasons, None for all.

    ``at`` (aware) judges them as of that instant. Raises CatalogUnavailable or CatalogNotReady.
    """
    goes: list[Decision] = []
    stays: list[Decision] = []
    counts: Counter[Verdict] = Counter()
    with catalog.read(at) as session:
        selection, zone = catalog.select(session, policy, policies), session.zone
        for judged in selection.judge_all(session.connection):
            if judged.verdict is Verdict.SELECTED:
                goes.append(decide(judged, selection))
                continue
            counts[judged.verdict] += 1
            if max_stays is None or len(stays) < max_stays:
                stays.append(decide(judged, selection, zone))
        return Plan(policy, session.now, tuple(goes), tuple(stays), counts)


def decide(judged: Judged, selection: Selection, zone: tzinfo | None = None) -> Decision:
    """The judgement in words; with the pipeline's ``zone``, also when a task that stays could go."""
    results = clause_results(judged, selection.clauses, selection.now)
    why = reason(judged, results, selection.policy.keep, selection.now)
    eligible = None
    if zone is not None and judged.verdict is not Verdict.SELECTED:
        facts = Facts(
            judged.task, judged.measured, judged.running, judged.rank, selection.holds_of(judged.task.task_id)
        )
        eligible = earliest(selection.policy, selection.protections, facts, selection.now.utc, zone)
    return Decision(judged.task, judged.verdict, why, results, judged.measured, eligible)
