"""The plan: what one policy would do at one instant, frozen. A preview and a real sweep make the same one."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from daemon.catalog.catalog import Catalog
from daemon.catalog.instants import Instant
from daemon.catalog.rows import TaskRow
from daemon.catalog.selection import Judged, Selection, Verdict
from daemon.policy.models import Policy, PolicySet
from daemon.sweep.reasons import ClauseResult, clause_results, reason


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one task: it goes, or it stays, and why."""

    task: TaskRow
    verdict: Verdict
    reason: str
    clauses: tuple[ClauseResult, ...]

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
        """SHA-256, in hex, of the policy and the tasks that go, with their state."""
        lines = [self.policy.model_dump_json(by_alias=True), *(repr(decision.task) for decision in self.goes)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def make_plan(catalog: Catalog, policies: PolicySet, policy: Policy, *, max_stays: int | None = 0) -> Plan:
    """Judge every task. ``max_stays``: how many that stay are kept with their reasons, None for all.

    Raises CatalogUnavailable or CatalogNotReady.
    """
    with catalog.read() as session:
        selection = catalog.select(session, policy, policies)
        counts, selected = selection.survey(session.connection)
        del counts[Verdict.SELECTED]
        goes = tuple(_decide(one, selection) for one in selection.judge_selected(session.connection, selected))
        others = (
            selection.judge_all(session.connection, but=Verdict.SELECTED, limit=max_stays) if max_stays != 0 else ()
        )
        stays = tuple(_decide(one, selection) for one in others)
        return Plan(policy, session.now, goes, stays, counts)


def _decide(judged: Judged, selection: Selection) -> Decision:
    results = clause_results(judged, selection.clauses, selection.now)
    why = reason(judged, results, selection.policy.keep, selection.now)
    return Decision(judged.task, judged.verdict, why, results)
