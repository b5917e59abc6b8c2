"""The plan: what one policy would do at one instant, frozen. A preview and a real sweep make the same one."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from itertools import islice
from typing import Final

from daemon.catalog import figures
from daemon.catalog.catalog import Catalog
from daemon.catalog.instants import Instant
from daemon.catalog.interruption import Interruption
from daemon.catalog.populations import Measured
from daemon.catalog.rows import TaskRow
from daemon.catalog.selection import Judged, Selection, Verdict
from daemon.policy.models import Policy, PolicySet
from daemon.sweep.eligibility import Eligibility, Facts, earliest
from daemon.sweep.reasons import ClauseResult, clause_results, reason

_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one task: it goes, or it stays, and why.

    ``clauses`` is empty in a plan that was stored; ``eligible`` says when one that stays could go; ``measured`` is what
    the last scan found, if the policy asks for it; ``directory`` which one it saw, of an orphan that goes.
    """

    task: TaskRow
    verdict: Verdict
    reason: str
    clauses: tuple[ClauseResult, ...]
    measured: Measured | None = None
    eligible: Eligibility | None = None
    directory: str | None = None

    @property
    def goes(self) -> bool:
        return self.verdict is Verdict.SELECTED


@dataclass(frozen=True, slots=True)
class Plan:
    """``goes`` is complete, the oldest first; ``stays`` holds examples up to the number asked for.

    ``considered``: all tasks the policy looked at; ``stay_counts``: how many stay, by verdict. A preview holds only the
    first of those that go: ``unlisted`` is how many more there are, and ``digest_of_all`` that of the whole.
    """

    policy: Policy
    now: Instant
    goes: tuple[Decision, ...]
    stays: tuple[Decision, ...]
    stay_counts: Counter[Verdict]
    unlisted: int = 0
    digest_of_all: str | None = None

    @property
    def selected(self) -> int:
        """How many go."""
        return len(self.goes) + self.unlisted

    @property
    def considered(self) -> int:
        return self.selected + self.stay_counts.total()

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what the policy does and the tasks that go, with their state.

        An orphan has no row: its state is which directory it is.
        """
        if self.digest_of_all is not None:
            return self.digest_of_all
        content = hashlib.sha256(self.policy.meaning.encode())
        for decision in self.goes:
            content.update(_state(decision.task, decision.directory))
        return content.hexdigest()


def _state(task: TaskRow, directory: str | None) -> bytes:
    return f"\n{task!r}{directory or ''}".encode()


def make_plan(
    catalog: Catalog,
    policies: PolicySet,
    policy: Policy,
    *,
    max_stays: int | None = 0,
    at: datetime | None = None,
    backoff: bool = True,
    notice: bool = True,
    interruption: Interruption | None = None,
) -> Plan:
    """Judge every task. ``max_stays``: how many that stay are kept with their reasons, None for all.

    ``at`` (aware) judges them as of that instant. Without ``backoff`` no task waits to be tried again after a failure,
    without ``notice`` none for its notice period. ``interruption`` can end it. Raises CatalogUnavailable or
    CatalogNotReady.
    """
    with catalog.read(at, interruption) as session:
        selection = catalog.select(session, policy, policies, backoff=backoff, notice=notice)
        zone = session.zone
        counts, selected = selection.survey(session.connection)
        del counts[Verdict.SELECTED]
        seen = figures.signatures(session.connection, selected) if policy.source == "orphans" else {}
        goes: list[Decision] = []
        for judged in selection.judge_selected(session.connection, selected):
            if judged.verdict is Verdict.SELECTED:
                goes.append(replace(decide(judged, selection), directory=seen.get(judged.task.task_id)))
            else:  # changed since it was surveyed a moment ago
                counts[judged.verdict] += 1
        others = (
            selection.judge_all(session.connection, but=Verdict.SELECTED, limit=max_stays) if max_stays != 0 else ()
        )
        stays = tuple(decide(judged, selection, zone) for judged in others)
        return Plan(policy, session.now, tuple(goes), stays, counts)


def preview(
    catalog: Catalog,
    policies: PolicySet,
    policy: Policy,
    *,
    limit: int,
    at: datetime | None = None,
    interruption: Interruption | None = None,
) -> Plan:
    """Judge every task as ``make_plan`` does, and keep the first of those that go and of those that stay.

    However many go, it takes the memory of ``limit`` of them. ``interruption`` can end it. Raises as ``make_plan``.
    """
    interruption = interruption or Interruption()
    with catalog.read(at, interruption) as session:
        selection, zone = catalog.select(session, policy, policies), session.zone
        counts = selection.count(session.connection)
        selected, goes = counts.pop(Verdict.SELECTED, 0), list[Decision]()
        content = hashlib.sha256(policy.meaning.encode())
        found = selection.judge_all(session.connection, only=Verdict.SELECTED)
        while some := list(islice(found, _AT_ONCE)):
            interruption.check()
            ids = [judged.task.task_id for judged in some] if policy.source == "orphans" else []
            seen = figures.signatures(session.connection, ids)
            for judged in some:
                directory = seen.get(judged.task.task_id)
                content.update(_state(judged.task, directory))
                if len(goes) < limit:
                    goes.append(replace(decide(judged, selection), directory=directory))
        interruption.check()
        others = selection.judge_all(session.connection, but=Verdict.SELECTED, limit=limit)
        stays = tuple(decide(judged, selection, zone) for judged in others)
        return Plan(policy, session.now, tuple(goes), stays, counts, selected - len(goes), content.hexdigest())


def decide(judged: Judged, selection: Selection, zone: tzinfo | None = None) -> Decision:
    """The judgement in words; with the pipeline's ``zone``, also when a task that stays could go."""
    results = clause_results(judged, selection.clauses, selection.now)
    why = reason(judged, results, selection.policy.keep, selection.now, selection.notice)
    eligible = None
    if zone is not None and judged.verdict is not Verdict.SELECTED:
        facts = Facts(
            judged.task,
            judged.measured,
            judged.running,
            judged.rank,
            selection.holds_of(judged.task.task_id),
            judged.undated,
            judged.unranked,
            selection.waits_of(judged),
        )
        eligible = earliest(selection.policy, selection.protections, facts, selection.now.utc, zone)
    return Decision(judged.task, judged.verdict, why, results, judged.measured, eligible)
