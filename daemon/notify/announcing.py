"""Tells of tasks before they go, each once by each policy. What goes is what the planner says of that later instant.

No sweep takes a task before it has been announced for ``notify.before``: the selection asks the catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from daemon import log
from daemon.catalog import announcements, notices, suspensions
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.notices import Notice
from daemon.durations import format_duration
from daemon.notify.notices import Severity, notice
from daemon.policy.models import Mode, Policy, PolicySet
from daemon.sweep.plan import Decision, decide, make_plan
from daemon.webhooks import NotificationsConfig, Subject

_log = log.get(__name__)

NAMED: Final = 50
"""Tasks that one announcement names; what is left out is counted."""
_OFTENEST: Final = timedelta(minutes=1)
_SELDOMEST: Final = timedelta(hours=1)


def announces(config: NotificationsConfig) -> bool:
    """Return whether a webhook is told of announcements."""
    return any(Subject.ANNOUNCEMENTS in webhook.events for webhook in config.webhooks)


def interval(policy: Policy) -> timedelta:
    """How long after one look the next one is: the 48th part of ``before``, at least a minute, at most an hour."""
    assert policy.notify is not None
    return max(_OFTENEST, min(_SELDOMEST, policy.notify.before / 48))


def announce(catalog: Catalog, policies: PolicySet, policy: Policy, *, tell: bool = True) -> int:
    """Announce what is due within the policy's ``notify.before`` and was not announced; how many tasks that is.

    What is due is what a sweep would take now, if it needed no announcement, or at the latest look before it has to be
    announced. Nothing if the policy does not enforce, or is suspended: then none of its tasks is due. A task that is
    not due any more, and whose announcement is longer ago than ``before``, is announced again should it come back.
    ``tell``: keep a notice for the webhooks; the log tells in any case. Raises CatalogUnavailable or CatalogNotReady.
    """
    assert policy.notify is not None
    before = policy.notify.before
    with catalog.read() as session:
        now = session.now.utc
    if policy.mode is not Mode.ENFORCE or _is_suspended(catalog, policy):
        with catalog.write() as writing:
            announcements.forget_older(writing.connection, policy.name, now - before)
        return 0
    # What becomes due before the next look is announced now: it has to have been announced for as long when it is due.
    horizon = now + before + interval(policy)
    plans = (make_plan(catalog, policies, policy, at=at, backoff=False, notice=False) for at in (horizon, None))
    goes = {decision.task.task_id: decision for plan in plans for decision in plan.goes}
    with catalog.read() as session:
        # one of a clock that was ahead would hold its task back until then
        known = {one: at for one, at in announcements.announced(session.connection, policy).items() if at <= now}
        new = [decision for task_id, decision in goes.items() if task_id not in known]
        due = _due(catalog, session, policies, policy, new[:NAMED])
    over = [task_id for task_id, at in known.items() if task_id not in goes and now - at > before]
    with catalog.write() as writing:
        announcements.forget(writing.connection, policy.name, over)
        announcements.add(writing.connection, policy, [decision.task.task_id for decision in new], now)
        if new and tell:
            notices.add(writing.connection, [_notice(policy, new, due, now)])
    if new:
        names = [decision.task.task_id for decision in new[:NAMED]]
        _log.info("tasks_announced", policy=policy.name, tasks=len(new), task_ids=names)
    return len(new)


def _is_suspended(catalog: Catalog, policy: Policy) -> bool:
    with catalog.read() as session:
        found = suspensions.find(session.connection, policy.name)
    return found is not None and found.digest == policy.digest


def _due(
    catalog: Catalog, session: Session, policies: PolicySet, policy: Policy, new: Sequence[Decision]
) -> dict[str, datetime | None]:
    """Return from when each of these could go, as it is announced now: None if that depends on other tasks."""
    selection = catalog.select(session, policy, policies)
    judged = selection.judge_some(session.connection, [decision.task.task_id for decision in new])
    found = {task_id: decide(one, selection, session.zone).eligible for task_id, one in judged.items()}
    return {task_id: None if eligible is None else eligible.at for task_id, eligible in found.items()}


def _notice(policy: Policy, new: Sequence[Decision], due: dict[str, datetime | None], now: datetime) -> Notice:
    assert policy.notify is not None
    within = format_duration(policy.notify.before)
    first = ", ".join(decision.task.task_id for decision in new[:5]) + (", …" if len(new) > 5 else "")
    task = "1 task goes" if len(new) == 1 else f"{len(new)} tasks go"
    details: dict[str, Any] = {
        "before": within,
        "total": len(new),
        "omitted": max(0, len(new) - NAMED),
        "retain": None if policy.action.retain is None else format_duration(policy.action.retain),
        "tasks": [_task(decision, due.get(decision.task.task_id)) for decision in new[:NAMED]],
    }
    text = f"policy {policy.name}: {task} within {within} ({first}); a hold keeps a task"
    return notice(
        Subject.ANNOUNCEMENTS, "tasks.due", Severity.WARNING, text, at=now, policy=policy.name, details=details
    )


def _task(decision: Decision, due: datetime | None) -> dict[str, Any]:
    task = decision.task
    return {
        "task_id": task.task_id,
        "status": task.status,
        "user": task.by_user,
        "database": task.db_name,
        "due_at": None if due is None else due.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "reason": decision.reason,
    }
