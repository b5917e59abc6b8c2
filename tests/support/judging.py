"""Asks a policy about every task, both ways the daemon has, which have to agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.selection import Judged, Verdict
from daemon.policy.models import Policy, PolicySet, Protect


def policy_set(
    match: dict[str, Any], *, protect: Sequence[dict[str, Any]] = (), delete: str = "directory", **options: Any
) -> PolicySet:
    policy = {"name": "policy", "match": match, "action": {"delete": delete}, **options}
    if not match:
        policy["match"], policy["allow_all"] = {"task_id": {"glob": "*"}}, True
    protects = [
        Protect.model_validate({"name": f"protect-{index}", "match": condition})
        for index, condition in enumerate(protect)
    ]
    return PolicySet(policies=(Policy.model_validate(policy),), protect=tuple(protects))


def judge(catalog: Catalog, policies: PolicySet) -> dict[str, Judged]:
    """The judgement of every task the policy looks at, in the order of ``judge_all``."""
    with catalog.read() as session:
        return judge_in(session, catalog, policies)


def judge_in(session: Session, catalog: Catalog, policies: PolicySet) -> dict[str, Judged]:
    policy = policies.policies[0]
    selection = catalog.select(session, policy, policies)
    judged = {one.task.task_id: one for one in selection.judge_all(session.connection)}
    last = policy.keep.last if policy.keep else None
    some = selection.judge_some(session.connection, list(judged))
    for task_id, one in judged.items():
        again = some[task_id]
        # One row's rank is counted only as far as it matters, and an undated row has none worth counting.
        assert (one.rank is None) == (again.rank is None) == (last is None)
        if last is not None and one.rank is not None and _date(one) is not None:
            assert again.rank == min(one.rank, last + 1)
        assert replace(again, rank=None) == replace(one, rank=None)
    counts, chosen = selection.survey(session.connection)
    assert counts == Counter(one.verdict for one in judged.values())
    goes = [one for one in judged.values() if one.verdict is Verdict.SELECTED]
    assert sorted(chosen) == sorted(one.task.task_id for one in goes)
    again_goes = list(selection.judge_selected(session.connection, chosen))
    assert [replace(one, rank=None) for one in again_goes] == [replace(one, rank=None) for one in goes]
    return judged


def verdicts(catalog: Catalog, policies: PolicySet) -> dict[str, str]:
    return {task_id: one.verdict.value for task_id, one in judge(catalog, policies).items()}


def selected(catalog: Catalog, policies: PolicySet) -> set[str]:
    return {task_id for task_id, verdict in verdicts(catalog, policies).items() if verdict == "selected"}


def _date(judged: Judged) -> object:
    task = judged.task
    return task.created_at or task.started_at or task.completed_at
