"""Why a quota's low mark cannot be reached: what stays, and whose it is."""

from __future__ import annotations

from collections import Counter
from typing import Final

from daemon.catalog import usage
from daemon.catalog.catalog import Catalog
from daemon.catalog.selection import Verdict
from daemon.policy.models import PolicySet, Quota
from daemon.sizes import format_size
from daemon.sweep.report import SweepReport

_WORDS: Final = {
    Verdict.HELD: "held",
    Verdict.RUNNING: "running",
    Verdict.PROTECTED: "protected",
    Verdict.KEEP_LAST: "kept as the newest",
    Verdict.KEEP_MIN_AGE: "kept as too young",
    Verdict.NOT_MATCHED: "not matched",
    Verdict.BACKING_OFF: "not to be deleted so far",
    Verdict.NOTICE_PERIOD: "not announced for long enough",
}


def explain(
    catalog: Catalog, policies: PolicySet, report: SweepReport, quota: Quota, group: str | None, used: int, low: int
) -> str:
    """One line. Raises CatalogUnavailable or CatalogNotReady."""
    policy, inodes = report.plan.policy, quota.measure == "inodes"
    tasks: Counter[Verdict] = Counter()
    amounts: Counter[Verdict] = Counter()
    unmeasured = 0
    column = {"user": "by_user", "database": "db_name"}.get(quota.of)
    with catalog.read() as session:
        root = usage.of_root(session.connection, (), inodes=inodes)
        for judged in catalog.select(session, policy, policies).judge_all(session.connection):
            if judged.verdict is Verdict.SELECTED or (column and getattr(judged.task, column) != group):
                continue
            tasks[judged.verdict] += 1
            measured = judged.measured
            amount = None if measured is None else measured.takes(inodes=inodes)
            unmeasured += amount is None
            amounts[judged.verdict] += amount or 0
    whose = f" of {quota.of} {group}" if group is not None else ""
    parts = [
        f"{_amount(amounts[verdict], inodes)} {_WORDS[verdict]} ({_tasks(tasks[verdict])})"
        for verdict in sorted(tasks, key=lambda verdict: (-amounts[verdict], -tasks[verdict]))
    ]
    if quota.of == "filesystem" and used > root.total:
        parts.append(f"{_amount(used - root.total, inodes)} that no scan has found in task directories")
    if unmeasured:
        parts.append(f"{_tasks(unmeasured)} of these not measured yet")
    if failed := len(report.failed) + len(report.failed_again):
        parts.append(f"{_tasks(failed)} could not be deleted")
    if report.truncated_to is not None:
        parts.append(f"{', '.join(report.limits)} stopped the sweep")
    return (
        f"the low mark {_amount(low, inodes)}{whose} was not reached, {_amount(used, inodes)} are in use: "
        f"{'; '.join(parts) or 'no task is left'}"
    )


def _tasks(number: int) -> str:
    return "1 task" if number == 1 else f"{number} tasks"


def _amount(value: int, inodes: bool) -> str:
    return f"{value} inodes" if inodes else format_size(value)
