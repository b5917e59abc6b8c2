"""Says in words why a task goes or stays, from the same clauses the database decided by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.catalog.conditions import Clause
from daemon.catalog.holds import Hold
from daemon.catalog.instants import Instant
from daemon.catalog.populations import MEASURED, Measured
from daemon.catalog.selection import Judged, Verdict
from daemon.catalog.task_failures import TaskFailure
from daemon.moments import for_machines
from daemon.policy.models import Keep
from daemon.policy.values import format_duration
from daemon.sizes import format_size


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """One clause for one task: ``holds`` is None where it cannot be known (a missing timestamp)."""

    path: str
    required: str
    actual: str
    holds: bool | None


def clause_results(judged: Judged, clauses: Sequence[Clause], now: Instant) -> tuple[ClauseResult, ...]:
    """Every clause of the policy's match with what the task has instead."""
    return tuple(
        ClauseResult(clause.path, clause.required, _actual(clause.column, judged, now), holds)
        for clause, holds in zip(clauses, judged.clauses, strict=True)
    )


def reason(
    judged: Judged, results: Sequence[ClauseResult], keep: Keep | None, now: Instant, notice: timedelta | None = None
) -> str:
    """One line: the values that decided. ``notice``: how long the task has to have been announced."""
    task = judged.task
    match judged.verdict:
        case Verdict.HELD:
            return held(judged.held_by, now)
        case Verdict.RUNNING:
            return f"it, or a step of it, is running (status {task.status})"
        case Verdict.PROTECTED:
            return f"protected by {judged.protected_by}"
        case Verdict.KEEP_LAST:
            if judged.unranked:  # however few others there are
                return "kept: it has no date to rank it by"
            assert keep is not None  # the verdict is by it
            group = f" of its {' and '.join(keep.per)}" if keep.per else ""
            return f"kept: number {judged.rank} of the newest {keep.last}{group}"
        case Verdict.KEEP_MIN_AGE:
            least = format_duration(keep.min_age) if keep and keep.min_age else "?"
            return f"kept: {'no date' if judged.since is None else _age(judged.since, now)}, the least age is {least}"
        case Verdict.BACKING_OFF:
            return _failed(judged.failure)
        case Verdict.NOTICE_PERIOD:
            return _announced(judged.announced_at, notice)
        case Verdict.SELECTED:
            parts = [result.actual for result in results if result.holds and not _negated(result)]
            return "; ".join(dict.fromkeys(parts)) or "every task matches"
        case Verdict.NOT_MATCHED:
            failing = [r for r in results if r.holds is not (not _negated(r))]
            return "; ".join(dict.fromkeys(f"{r.actual}, needs: {_wanted(r)}" for r in failing))


def _negated(result: ClauseResult) -> bool:
    return result.path.split(".").count("not") % 2 == 1


def _wanted(result: ClauseResult) -> str:
    return f"not {result.required}" if _negated(result) else result.required


def held(hold: Hold | None, now: Instant) -> str:
    """Whose word it is that a task stays, why, and until when."""
    if hold is None:
        return "held"
    until = "" if hold.expires_at is None else f", for another {format_duration(hold.expires_at - now.utc)}"
    return f"held by {hold.owner}: {hold.reason}{until}"


def _failed(failure: TaskFailure | None) -> str:
    if failure is None:
        return "it could not be deleted before"
    times = "once" if failure.times == 1 else f"{failure.times} times"
    return f"failed {times}, tried again at {for_machines(failure.next_at)}: {failure.reason}"


def _announced(at: datetime | None, notice: timedelta | None) -> str:
    assert notice is not None  # the verdict is by it
    if at is None:
        return f"not announced yet: it goes {format_duration(notice)} after its announcement"
    return f"announced at {for_machines(at)}, goes from {for_machines(at + notice)} on"


def _actual(column: str, judged: Judged, now: Instant) -> str:
    if column in MEASURED:
        return _measured(column, judged.measured, now)
    value = getattr(judged.task, column)
    label = {"by_user": "user", "db_name": "database"}.get(column, column.removesuffix("_at"))
    if column == "directory_exists":
        return "directory is present" if value else "directory is missing"
    if column.endswith("_at"):
        return f"never {label}" if value is None else f"{label} {_age(value, now)}"
    return f"no {label}" if value is None else f"{label} {value}"


def _measured(column: str, measured: Measured | None, now: Instant) -> str:
    value = None if measured is None else getattr(measured, column)
    if value is None:
        return "not measured yet"
    return f"size {format_size(value)}" if column == "size_bytes" else f"{_label(column)} {_age(value, now)}"


def _label(column: str) -> str:
    return column.removesuffix("_at").replace("_", " ")


def _age(stamp: datetime, now: Instant) -> str:
    seconds = int(((now.local if stamp.tzinfo is None else now.utc) - stamp).total_seconds())
    if seconds < 0:
        return f"in the future ({stamp:%Y-%m-%d %H:%M:%S})"
    days, rest = divmod(seconds, 86400)
    if days:
        return f"{days}d ago"
    return f"{format_duration(timedelta(seconds=rest - rest % 60))} ago" if rest >= 60 else f"{rest}s ago"
