"""What a sweep did."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from daemon.catalog.sweeps import SweepRecord
from daemon.deletion.models import Outcome
from daemon.sweep.limits import Breach
from daemon.sweep.plan import Decision, Plan

REMEMBERED: Final = 1000
"""How many tasks of each kind the record of a sweep names; its totals are always whole."""


class SweepOutcome(StrEnum):
    """How a sweep ended."""

    SUCCESS = "success"  # everything selected is gone, has dropped out for a reason, or failed as it did before
    OBSERVED = "observed"  # the policy only observes: nothing was deleted
    PARTIAL = "partial"  # some could not be deleted, or a quota's low mark was not reached
    FAILED = "failed"  # none could be deleted, or root or catalog were lost on the way
    BLOCKED = "blocked"  # more selected than the limits allow: nothing was deleted
    STOPPED = "stopped"  # the daemon was asked to stop in between


@dataclass(frozen=True, slots=True)
class Missed:
    """A selected task that was not deleted, and why. ``own``: for a reason of its own, and not of the whole disk's."""

    task_id: str
    code: str
    reason: str
    own: bool = True


@dataclass(frozen=True, slots=True)
class QuotaResult:
    """What a quota found and left, in bytes or inodes.

    ``group``: the user or database; ``purged``: what the trash gave; ``shortfall``: why ``low`` was not reached.
    """

    group: str | None
    used_before: int
    used: int
    high: int
    low: int
    purged: int
    shortfall: str | None


@dataclass(slots=True)
class SweepReport:
    """One sweep, filled while it runs. ``dropped``: changed since the plan, so rightly left alone.

    ``reviewed``: a person has seen the plan. ``failed_again``: what failed in the same way in an earlier sweep: it is
    known, and no failure of the policy.

    ``chosen``: what is to go, which for a quota is no more than it needs. ``lost``: root or catalog went away.
    """

    sweep_id: str
    trigger: str
    plan: Plan
    started_at: datetime
    reviewed: bool = False
    outcome: SweepOutcome = SweepOutcome.SUCCESS
    finished_at: datetime | None = None
    truncated_to: int | None = None
    deleted: list[Outcome] = field(default_factory=list)
    failed: list[Missed] = field(default_factory=list)
    failed_again: list[Missed] = field(default_factory=list)
    dropped: list[Missed] = field(default_factory=list)
    not_attempted: int = 0
    error: str | None = None
    chosen: tuple[Decision, ...] = ()
    limits: list[str] = field(default_factory=list)
    lost: bool = False
    too_many_errors: bool = False
    quota: list[QuotaResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.plan.policy.quota is None:
            self.chosen = self.plan.goes

    def hold_to(self, found: Sequence[Breach]) -> int:
        """Apply the limits that are exceeded; how many of the chosen tasks may go. None of them: it is BLOCKED."""
        if not found:
            return len(self.chosen)
        self.limits += [breach.limit for breach in found]
        most, limits = min(breach.most for breach in found), self.plan.policy.limits
        if limits is not None and limits.on_exceed == "truncate" and most > 0:
            self.truncated_to = most
            return most
        self.outcome = SweepOutcome.BLOCKED
        raise_it = any(breach.limit.startswith("max_") for breach in found)
        advice = "; look at the plan, then raise the limit or narrow the match" if raise_it else ""
        self.error = "; ".join(breach.message for breach in found) + f": nothing was deleted{advice}"
        return 0

    @property
    def policy(self) -> str:
        return self.plan.policy.name

    @property
    def selected(self) -> int:
        return len(self.chosen)

    @property
    def succeeded(self) -> bool:
        return self.outcome in (SweepOutcome.SUCCESS, SweepOutcome.OBSERVED)

    @property
    def attempted(self) -> int:
        """How many of the chosen tasks were tried, whatever came of it."""
        return len(self.deleted) + len(self.failed) + len(self.failed_again) + len(self.dropped)

    @property
    def directories_deleted(self) -> int:
        """How many of the deleted tasks had a directory."""
        return sum(outcome.directory_deleted for outcome in self.deleted)

    @property
    def files(self) -> int:
        return sum(outcome.counts.files for outcome in self.deleted)

    @property
    def size_bytes(self) -> int:
        """Apparent bytes of what was deleted."""
        return sum(outcome.counts.size_bytes for outcome in self.deleted)

    @property
    def freed_bytes(self) -> int:
        """Allocated bytes given back; what waits in the trash frees nothing yet."""
        return sum(outcome.counts.freed_bytes for outcome in self.deleted if outcome.retained_until is None)

    def record(self, finished_at: datetime) -> SweepRecord:
        """As the catalog keeps it."""
        document = self.document(limit=REMEMBERED)
        return SweepRecord(
            sweep_id=self.sweep_id,
            policy=self.policy,
            trigger=self.trigger,
            mode=self.plan.policy.mode,
            outcome=self.outcome,
            started_at=self.started_at,
            finished_at=finished_at,
            considered=self.plan.considered,
            selected=self.selected,
            deleted=len(self.deleted),
            failed=len(self.failed),
            dropped=len(self.dropped),
            size_bytes=self.size_bytes,
            error=self.error,
            plan_digest=document["plan_digest"],
            report=json.dumps(document, ensure_ascii=False),
        )

    def document(self, *, limit: int | None = None) -> dict[str, Any]:
        """As JSON has it, sizes in bytes; ``limit``: how many tasks of each kind it names at most."""
        return {
            "sweep_id": self.sweep_id,
            "policy": self.policy,
            "mode": self.plan.policy.mode,
            "outcome": self.outcome,
            "error": self.error,
            "plan_digest": self.plan.digest,
            "considered": self.plan.considered,
            "selected": self.selected,
            "truncated_to": self.truncated_to,
            "limits": self.limits,
            "quota": [asdict(result) for result in self.quota],
            "not_attempted": self.not_attempted,
            "stay_counts": dict(self.plan.stay_counts),
            "files": self.files,
            "size_bytes": self.size_bytes,
            "freed_bytes": self.freed_bytes,
            "deleted_count": len(self.deleted),
            "directories_deleted": self.directories_deleted,
            "failed_count": len(self.failed),
            "failed_again_count": len(self.failed_again),
            "dropped_count": len(self.dropped),
            "selected_tasks": [decision.task.task_id for decision in self.chosen[:limit]],
            "deleted": [outcome.task_id for outcome in self.deleted[:limit]],
            "failed": _missed(self.failed[:limit]),
            "failed_again": _missed(self.failed_again[:limit]),
            "dropped": _missed(self.dropped[:limit]),
        }


def _missed(missed: Sequence[Missed]) -> list[dict[str, str]]:
    return [{"task_id": one.task_id, "code": one.code, "reason": one.reason} for one in missed]


Progress = Callable[[SweepReport], None]
"""Called after the plan and after every deletion."""
