"""What ``data`` holds in the answers about policies, plans and sweeps."""

from __future__ import annotations

from pydantic import AwareDatetime, ConfigDict, Field

from daemon.catalog.populations import Measured
from daemon.catalog.selection import Verdict
from daemon.policy.models import Mode
from daemon.sweep.eligibility import When
from daemon.sweep.quota import Reading
from daemon.sweep.reasons import ClauseResult
from daemon.sweep.report import Missed, QuotaResult, SweepOutcome
from daemon.web.answer_models import Document, TaskRow


class ShownPolicy(Document):
    """A policy as its file has it, with its defaults, and its digest."""

    model_config = ConfigDict(extra="allow")

    name: str
    digest: str
    mode: Mode
    match: dict[str, object]
    action: dict[str, object]


class Protection(Document):
    """Tasks that no policy may touch."""

    name: str
    match: dict[str, object]


class PolicyList(Document):
    """The policies in force, what none of them may touch, and the digest of all."""

    policies: list[ShownPolicy]
    protect: list[Protection]
    digest: str
    total: int


class Eligible(Document):
    """When a task that stays could go if nothing but time passes: ``at`` (UTC), ``at_local`` in the pipeline's zone."""

    when: When
    at: AwareDatetime | None
    at_local: AwareDatetime | None
    why: str


class ShownDecision(TaskRow):
    """One policy's answer for one task, clause by clause."""

    verdict: Verdict
    reason: str
    clauses: list[ClauseResult]
    measured: Measured | None
    eligible: Eligible | None


class ShownQuota(Document):
    """How full what a quota measures is, in bytes or inodes: all that is at its high mark, or else the fullest."""

    of: str
    measure: str
    high: str
    low: str
    readings: list[Reading]


class ShownPlan(Document):
    """What a policy would do at one moment; ``stay_counts``: how many stay, by verdict.

    ``quota``: null without one, with ``at``, and while the storage root is not there.
    """

    policy: str
    mode: Mode
    action: str
    retain: str | None
    now: AwareDatetime
    digest: str
    considered: int
    selected: int
    goes: list[ShownDecision]
    stays: list[ShownDecision]
    stay_counts: dict[Verdict, int]
    quota: ShownQuota | None


class KeptPlan(Document):
    """A plan that was stored; a sweep takes its ``digest`` as ``plan``."""

    policy: str
    digest: str
    considered: int
    selected: int
    stay_counts: dict[Verdict, int]


class ShownReport(Document):
    """What one sweep did. The lists hold at most 1000 tasks each, the counts are whole."""

    sweep_id: str
    policy: str
    mode: Mode
    outcome: SweepOutcome
    error: str | None
    plan_digest: str
    considered: int
    selected: int
    truncated_to: int | None
    limits: list[str]
    quota: list[QuotaResult]
    not_attempted: int
    stay_counts: dict[Verdict, int]
    files: int
    size_bytes: int
    freed_bytes: int
    deleted_count: int
    directories_deleted: int | None = None  # a report of an earlier version does not say it
    failed_count: int
    failed_again_count: int = 0
    dropped_count: int
    selected_tasks: list[str]
    deleted: list[str]
    failed: list[Missed]
    failed_again: list[Missed] = Field(default_factory=list)
    dropped: list[Missed]


class ListedSweep(Document):
    """A sweep that has ended."""

    sweep_id: str
    policy: str
    trigger: str
    mode: Mode
    outcome: SweepOutcome
    started_at: AwareDatetime
    finished_at: AwareDatetime
    considered: int
    selected: int
    deleted: int
    failed: int
    dropped: int
    size_bytes: int
    error: str | None
    plan_digest: str | None


class ShownSweep(ListedSweep):
    """A sweep with its report; null for sweeps of earlier versions."""

    report: ShownReport | None


class SweepList(Document):
    """The last sweeps, the newest first."""

    sweeps: list[ListedSweep]


class HoldOnTask(Document):
    """A hold that is about the task."""

    hold_id: str
    pattern: str
    owner: str
    reason: str
    placed_at: AwareDatetime
    expires_at: AwareDatetime | None
    released_at: AwareDatetime | None
    released_by: str | None


class PolicyAnswer(Document):
    """One policy's decision; null if it does not look at the task, and then why not."""

    policy: str
    mode: Mode
    looks_at_it: bool
    not_looked_at: str | None
    decision: ShownDecision | None


class TaskExplanation(Document):
    """What every policy says of a task, and what keeps it from all of them. ``task`` is null without a row."""

    task_id: str
    now: AwareDatetime
    task: TaskRow | None
    measured: Measured | None
    holds: list[HoldOnTask]
    protections: list[str]
    policies: list[PolicyAnswer]
