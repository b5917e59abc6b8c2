"""Policies and their sweeps: one set of series per loaded policy, there from the start, gone with the policy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from daemon import clock
from daemon.metrics.buckets import SWEEP_SECONDS
from daemon.metrics.live import LiveGauge, Sample

# The words of sweep/, policy/ and errors.py, which are above; a test compares them.
MODES: Final = ("observe", "enforce", "disabled")
OUTCOMES: Final = ("success", "observed", "partial", "failed", "blocked", "stopped")
FATES: Final = ("deleted", "failed", "failed_again", "dropped", "not_attempted")
STAYS: Final = (
    "held",
    "running",
    "protected",
    "keep_last",
    "keep_min_age",
    "not_matched",
    "backing_off",
    "notice_period",
)
LIMITS: Final = (
    "max_tasks",
    "max_bytes",
    "max_percent",
    "max_times_usual",
    "max_error_percent",
    "orphan_share",
    "scan_age",
)
REFUSALS: Final = (
    "SWEEP_RUNNING",
    "POLICY_SUSPENDED",
    "CLOCK_UNRELIABLE",
    "CATALOG_EMPTY",
    "CATALOG_MISMATCH",
    "ROOT_UNAVAILABLE",
    "CATALOG_ROLLED_BACK",
)


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What the metrics need to know of a policy. ``due_after``: by when at the latest it runs again after an instant.

    ``first_seen``, ``last_run`` and ``last_success`` (aware) are the catalog's memory, ``last_outcome`` and
    ``without_match`` that of its sweeps.
    """

    name: str
    mode: str
    due_after: Callable[[datetime], datetime | None] | None
    first_seen: datetime
    last_run: datetime | None
    last_success: datetime | None
    last_outcome: str | None
    without_match: int
    is_quota: bool


@dataclass(frozen=True, slots=True)
class SweepFacts:
    """One sweep that came to its end. ``matched`` is None if it made no plan; ``tasks``: how many, by FATES."""

    outcome: str
    seconds: float
    ended: datetime
    success: bool
    considered: int = 0
    matched: int | None = None
    selected: int = 0
    stays: Mapping[str, int] | None = None
    tasks: Mapping[str, int] | None = None
    freed_bytes: int = 0
    is_quota: bool = False


class PolicyMetrics:
    """Fed by the sweeps, on their threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = threading.Lock()
        self._names: frozenset[str] | None = None  # None: whatever comes, as for a single command
        self._quotas: frozenset[str] = frozenset()
        self._due_after: dict[str, Callable[[datetime], datetime | None] | None] = {}
        self._waiting: set[str] = set()  # suspended
        self._all: list[Any] = []

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            self._all.append(Gauge(name, text, ["policy", *labels], registry=registry))
            return self._all[-1]  # type: ignore[no-any-return]

        def counter(name: str, text: str, *labels: str) -> Counter:
            self._all.append(Counter(name, text, ["policy", *labels], registry=registry))
            return self._all[-1]  # type: ignore[no-any-return]

        self._mode = gauge("sweepd_policy_mode", "1 for the mode that the policy is in, else 0.", "mode")
        self._due = gauge("sweepd_policy_due_timestamp_seconds", "By when the policy has to run by its schedule.")
        self._running = gauge("sweepd_policy_sweep_running", "1 while the policy is being swept, else 0.")
        self._first_seen = gauge("sweepd_policy_first_seen_timestamp_seconds", "When the policy was first loaded.")
        self._last_run = gauge("sweepd_policy_last_run_timestamp_seconds", "When the policy last ran; 0 if never.")
        self._last_success = gauge(
            "sweepd_policy_last_success_timestamp_seconds", "When the policy last succeeded; 0 if never."
        )
        self._last_outcome = gauge(
            "sweepd_policy_last_outcome", "1 for how the policy's last sweep ended, else 0.", "outcome"
        )
        self._considered = gauge("sweepd_policy_considered_tasks", "Tasks that the policy's last plan looked at.")
        self._selected = gauge("sweepd_policy_selected_tasks", "Tasks selected by the policy's last plan.")
        self._kept = gauge("sweepd_policy_kept_tasks", "Tasks that the policy's last plan lets stay, by why.", "reason")
        self._deleted = gauge("sweepd_policy_deleted_tasks", "Tasks that the policy's last sweep deleted.")
        self._without_match = gauge(
            "sweepd_policy_sweeps_without_match", "Sweeps in a row whose plan selected nothing; 0 for quotas."
        )
        self._suspended = gauge("sweepd_policy_suspended", "1 if the policy has suspended itself, else 0.")
        self._failing = gauge(
            "sweepd_policy_failing_tasks", "Tasks that the policy could not delete and tries again with growing pauses."
        )
        self._sweeps = counter("sweepd_sweeps", "Sweeps, by policy and outcome.", "outcome")
        self._refused = counter("sweepd_sweeps_refused", "Sweeps refused before they began, by why.", "error_code")
        self._blocked = counter("sweepd_sweeps_blocked", "Sweeps that a limit stopped or cut short, by limit.", "limit")
        self._tasks = counter("sweepd_sweep_tasks", "What became of the tasks that sweeps selected.", "outcome")
        self._freed = counter("sweepd_sweep_freed_bytes", "Allocated bytes that sweeps gave back at once.")
        self._duration = Histogram(
            "sweepd_sweep_duration_seconds", "Time of one sweep.", ["policy"], buckets=SWEEP_SECONDS, registry=registry
        )
        self._quota = {
            "used": gauge("sweepd_quota_used", "What a quota policy's last sweep left in use, in bytes or inodes."),
            "high": gauge("sweepd_quota_high", "Where a quota policy begins to delete, in bytes or inodes."),
            "low": gauge("sweepd_quota_low", "Where a quota policy ends, in bytes or inodes."),
            "unreached": gauge(
                "sweepd_quota_unreached", "Groups whose low mark the policy's last sweep could not reach."
            ),
        }
        self._all.append(self._duration)
        self._next_runs: Callable[[], Mapping[str, datetime]] = dict
        LiveGauge(
            "sweepd_policy_next_run_timestamp_seconds",
            "When the policy runs next.",
            self._read_next_runs,
            ["policy"],
            registry=registry,
        )

    def load(self, policies: Iterable[PolicyFacts]) -> None:
        """These are loaded now: their series begin at 0, and those of all others end."""
        found = {facts.name: facts for facts in policies}
        with self._lock:
            known = self._names or frozenset()
            self._names = frozenset(found)
            self._quotas = frozenset(facts.name for facts in found.values() if facts.is_quota)
            for name in known - found.keys():
                self._forget(name)
            for facts in found.values():
                self._begin(facts)
                if facts.name not in known:  # else it is shown already, also of a sweep that left no record
                    self._show_outcome(facts.name, facts.last_outcome)

    def schedule(self, next_runs: Callable[[], Mapping[str, datetime]]) -> None:
        """Who knows when each policy runs next; asked at every scrape, so it must not block."""
        self._next_runs = next_runs

    def began(self, policy: str, at: datetime) -> None:
        """A sweep begins."""
        with self._lock:
            if not self._unknown(policy):
                self._running.labels(policy).set(1)
                self._last_run.labels(policy).set(at.timestamp())
                self._show_due(policy, at)

    def ended(self, policy: str) -> None:
        """No sweep of the policy runs any more in this process, whatever came of it."""
        with self._lock:
            if not self._unknown(policy):
                self._running.labels(policy).set(0)

    def swept(self, policy: str, sweep: SweepFacts) -> None:
        """One sweep came to its end."""
        with self._lock:
            if self._unknown(policy):
                return
            self._sweeps.labels(policy, sweep.outcome).inc()
            self._duration.labels(policy).observe(sweep.seconds)
            self._show_outcome(policy, sweep.outcome)
            if sweep.success:
                self._last_success.labels(policy).set(sweep.ended.timestamp())
            for fate in FATES:
                self._tasks.labels(policy, fate).inc((sweep.tasks or {}).get(fate, 0))
            self._freed.labels(policy).inc(sweep.freed_bytes)
            self._deleted.labels(policy).set((sweep.tasks or {}).get("deleted", 0))
            if sweep.matched is None:
                return
            self._considered.labels(policy).set(sweep.considered)
            self._selected.labels(policy).set(sweep.selected)
            for reason in STAYS:
                self._kept.labels(policy, reason).set((sweep.stays or {}).get(reason, 0))
            if sweep.matched or sweep.is_quota:
                self._without_match.labels(policy).set(0)
            else:
                self._without_match.labels(policy).inc()

    def refused(self, policy: str, error_code: str) -> None:
        """A sweep was refused before it began."""
        with self._lock:
            if not self._unknown(policy):
                self._sweeps.labels(policy, "refused").inc()
                self._refused.labels(policy, error_code).inc()

    def blocked(self, policy: str, limit: str) -> None:
        """A sweep stopped at this limit."""
        with self._lock:
            if not self._unknown(policy):
                self._blocked.labels(policy, limit).inc()

    def suspended(self, policy: str, suspended: bool) -> None:
        """Whether the policy has suspended itself."""
        with self._lock:
            if not self._unknown(policy):
                self._suspended.labels(policy).set(1 if suspended else 0)
                if suspended:
                    self._waiting.add(policy)
                elif policy in self._waiting:  # nothing was due meanwhile
                    self._waiting.discard(policy)
                    self._show_due(policy, clock.now())

    def failing(self, policy: str, tasks: int) -> None:
        """How many tasks the policy could not delete so far."""
        with self._lock:
            if not self._unknown(policy):
                self._failing.labels(policy).set(tasks)

    def quota(self, policy: str, used: int, high: int, low: int, unreached: int) -> None:
        """How full it is, in bytes or inodes: of several users or databases the fullest; ``unreached``: how many."""
        with self._lock:
            if self._names is None or policy in self._quotas:  # a sweep of what is none any more may still run
                for name, value in (("used", used), ("high", high), ("low", low), ("unreached", unreached)):
                    self._quota[name].labels(policy).set(value)

    def _begin(self, facts: PolicyFacts) -> None:
        name = facts.name
        for mode in MODES:
            self._mode.labels(name, mode).set(1 if mode == facts.mode else 0)
        self._due_after[name] = facts.due_after
        self._show_due(name, facts.last_run or facts.first_seen)
        self._first_seen.labels(name).set(facts.first_seen.timestamp())
        for gauge, at in ((self._last_run, facts.last_run), (self._last_success, facts.last_success)):
            gauge.labels(name).set(0 if at is None else at.timestamp())
        self._without_match.labels(name).set(facts.without_match)
        words = (
            (self._sweeps, (*OUTCOMES, "refused")),
            (self._refused, REFUSALS),
            (self._blocked, LIMITS),
            (self._tasks, FATES),
            (self._kept, STAYS),
        )
        for metric, values in words:
            for value in values:
                metric.labels(name, value)
        for single in (
            self._freed,
            self._duration,
            self._considered,
            self._selected,
            self._deleted,
            self._suspended,
            self._failing,
            self._running,
        ):
            single.labels(name)
        if facts.is_quota:
            self._quota["unreached"].labels(name)
        else:  # it may have been one until now
            for gauge in self._quota.values():
                gauge.remove_by_labels({"policy": name})

    def _show_outcome(self, policy: str, outcome: str | None) -> None:
        for word in OUTCOMES:
            self._last_outcome.labels(policy, word).set(1 if word == outcome else 0)

    def _show_due(self, policy: str, last_run: datetime) -> None:
        due_after = self._due_after.get(policy)
        due = due_after(last_run) if due_after else None
        if due is None:
            self._due.remove_by_labels({"policy": policy})
        else:
            self._due.labels(policy).set(due.timestamp())

    def _unknown(self, policy: str) -> bool:
        """Whether it is gone: a sweep of it that began before may still run."""
        return self._names is not None and policy not in self._names

    def _forget(self, policy: str) -> None:
        for metric in self._all:
            metric.remove_by_labels({"policy": policy})
        self._due_after.pop(policy, None)
        self._waiting.discard(policy)

    def _read_next_runs(self) -> Iterable[Sample]:
        return [((name,), at.timestamp()) for name, at in self._next_runs().items()]
