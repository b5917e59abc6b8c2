"""What stays says from when it could go, and the databases agree when time has come that far."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daemon import clock
from daemon.catalog.catalog import Catalog
from daemon.catalog.selection import Verdict
from daemon.errors import ErrorCode, TaskRefused
from daemon.policy.models import Policy, PolicySet, Protect
from daemon.sweep.documents import explanation_document
from daemon.sweep.eligibility import When
from daemon.sweep.explanation import explain
from daemon.sweep.plan import make_plan
from support.judging import policy_set
from support.prepared import Prepared
from support.site import make_catalog
from support.stores import Store

SECOND = timedelta(seconds=1)
STAMPS = ("created_at", "started_at", "completed_at", "updated_at")


def leaf(chance: random.Random) -> dict[str, Any]:
    age = {"age": f"{chance.randint(1, 60)}d", "by": chance.choice(["created", "started", "completed", "updated"])}
    return chance.choice(
        [
            {"older_than": age},
            {"newer_than": age},
            {"older_than": age},
            {"status": chance.choice(["completed", "failed"])},
            {"user": chance.choice(["alice", "bob"])},
            {"task_id": {"glob": f"*_{chance.randint(0, 9)}"}},
        ]
    )


def condition(chance: random.Random, depth: int = 2) -> dict[str, Any]:
    kind = chance.choice(["leaf", "leaf", "all", "any", "not"]) if depth else "leaf"
    if kind == "leaf":
        return leaf(chance)
    if kind == "not":
        return {"not": condition(chance, depth - 1)}
    return {kind: [condition(chance, depth - 1) for _ in range(chance.randint(1, 3))]}


def add_random_tasks(chance: random.Random, store: Store, now: datetime, count: int) -> None:
    for number in range(count):
        stamps = {
            name: (now - timedelta(days=chance.randint(-5, 70), seconds=chance.randint(0, 86_399))).replace(
                microsecond=0
            )
            for name in STAMPS
            if chance.random() < 0.8
        }
        status = chance.choice(["completed", "completed", "failed", "in_progress"])
        store.add_task(f"task_{number}", status=status, by_user=chance.choice(["alice", "bob", None]), **stamps)


def add_hold(store: Store, pattern: str, days: float | None) -> None:
    now = clock.now().replace(microsecond=0)
    expires = None if days is None else (now + timedelta(days=days)).replace(tzinfo=None if store.sqlite else UTC)
    store.query(
        "INSERT INTO sweepd_holds (hold_id, pattern, owner, reason, placed_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        [f"hold-{pattern}", pattern, "alice", "audit", (now - timedelta(days=1)).replace(tzinfo=None), expires],
    )


def verdict_at(catalog: Catalog, policies: PolicySet, task_id: str, at: datetime) -> Verdict:
    with catalog.read(at) as session:
        selection = catalog.select(session, policies.policies[0], policies)
        return selection.judge_some(session.connection, [task_id])[task_id].verdict


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (1, 2))])
def test_the_database_selects_a_task_at_the_instant_it_was_told_and_not_a_second_before(
    store: Store, seed: int
) -> None:
    """And never, within a century, what is said to stay by time alone."""
    chance = random.Random(seed)
    catalog = make_catalog(store)
    with catalog.read() as session:
        now = session.now.local
    add_random_tasks(chance, store, now, 10)
    add_hold(store, "task_1", 9)
    add_hold(store, "task_2*", 40)
    add_hold(store, "task_3", None)
    seen: set[When] = set()
    for _ in range(6):
        policies = policy_set(
            condition(chance),
            protect=[condition(chance, 1)] if chance.random() < 0.4 else (),
            keep={"min_age": f"{chance.randint(1, 40)}d"} if chance.random() < 0.5 else None,
        )
        plan = make_plan(catalog, policies, policies.policies[0], max_stays=None)
        for decision in plan.stays:
            task_id, eligible = decision.task.task_id, decision.eligible
            assert eligible is not None
            seen.add(eligible.when)
            if eligible.at is not None:
                assert verdict_at(catalog, policies, task_id, eligible.at) is Verdict.SELECTED
                assert verdict_at(catalog, policies, task_id, eligible.at - SECOND) is not Verdict.SELECTED
            else:
                assert eligible.when is When.NEVER
                for days in (1, 45, 36_500):
                    ahead = plan.now.utc + timedelta(days=days)
                    assert verdict_at(catalog, policies, task_id, ahead) is not Verdict.SELECTED
    catalog.close()
    assert seen == {When.LATER, When.NEVER}


def test_instants_are_told_in_the_pipelines_zone(prepared: Prepared) -> None:
    store = prepared.postgresql(timezone="Asia/Shanghai")
    catalog = make_catalog(store)
    try:
        with catalog.read() as session:
            completed = session.now.local.replace(microsecond=0) - timedelta(days=10)
            assert str(session.zone) == "Asia/Shanghai"
        store.add_task("task_1", status="completed", completed_at=completed)
        policies = policy_set({"older_than": "30d"})
        document = explanation_document(explain(catalog, policies, "task_1"))
        [answer] = document["policies"]
        eligible = answer["decision"]["eligible"]
        assert eligible["at_local"] == f"{(completed + timedelta(days=30)).isoformat()}+08:00"
        assert datetime.fromisoformat(eligible["at"]) == datetime.fromisoformat(eligible["at_local"])
        assert verdict_at(catalog, policies, "task_1", datetime.fromisoformat(eligible["at"])) is Verdict.SELECTED
    finally:
        catalog.close()
        prepared.give_back(store)


def test_a_zone_that_only_the_database_knows_is_its_distance_from_utc(prepared: Prepared) -> None:
    store = prepared.postgresql(timezone="<+05>-05:30")
    catalog = make_catalog(store)
    with catalog.read() as session:
        assert session.zone.utcoffset(datetime(2025, 1, 1)) == timedelta(hours=5, minutes=30)
    catalog.close()
    prepared.give_back(store)


def named(name: str, **options: Any) -> Policy:
    return Policy.model_validate(
        {"name": name, "match": {"status": "completed"}, "action": {"delete": "directory"}, **options}
    )


def test_every_policy_answers_and_what_keeps_the_task_is_named(store: Store) -> None:
    catalog = make_catalog(store)
    store.add_task("task_1", status="completed", completed_at=datetime(2025, 1, 1))
    store.add_task("golden_1", status="completed", completed_at=datetime(2025, 1, 1))
    add_hold(store, "*_1", 5)
    add_hold(store, "other", None)
    policies = PolicySet(
        policies=(
            named("plain", mode="disabled"),
            named("records", action={"delete": "records"}),
            named("orphans", source="orphans", match={"older_than": {"age": "1d", "by": "first_seen"}}),
        ),
        protect=(Protect.model_validate({"name": "golden", "match": {"task_id": {"glob": "golden*"}}}),),
    )
    document = explanation_document(explain(catalog, policies, "golden_1"))
    catalog.close()
    assert [hold["pattern"] for hold in document["holds"]] == ["*_1"]
    assert document["protections"] == ["golden"]
    plain, records, orphans = document["policies"]
    assert (plain["policy"], plain["mode"], plain["decision"]["verdict"]) == ("plain", "disabled", "held")
    assert plain["decision"]["clauses"] == [
        {"path": "match.status", "required": "status is completed", "actual": "status completed", "holds": True}
    ]
    assert plain["decision"]["eligible"]["when"] == "never"
    assert records["not_looked_at"].startswith("its directory is there")
    assert orphans["not_looked_at"].startswith("it has a row")


def test_a_directory_without_a_row_is_explained_from_what_scans_found(store: Store) -> None:
    catalog = make_catalog(store)
    seen = clock.now().replace(microsecond=0) - timedelta(days=1)
    first = seen - timedelta(days=90)  # with a row
    values = [at if not store.sqlite else at.replace(tzinfo=None) for at in (first, seen, seen)]
    insert = (
        "INSERT INTO sweepd_inventory (task_id, first_seen_at, last_seen_at, sightings, signature, orphan_since,"
        " orphan_sightings) VALUES ('manual_1', ?, ?, 9, 's', ?, 2)"
    )
    store.query(insert, values)
    match = {"older_than": {"age": "3d", "by": "first_seen"}}
    policies = PolicySet(policies=(named("plain"), named("orphans", source="orphans", match=match)))
    document = explanation_document(explain(catalog, policies, "manual_1"))
    plain, orphans = document["policies"]
    assert document["task"] is None
    assert plain["not_looked_at"].startswith("it has no row")
    assert orphans["decision"]["verdict"] == "not_matched"
    assert datetime.fromisoformat(orphans["decision"]["eligible"]["at"]) == seen + timedelta(days=3)
    for task_id, code in (("nothing", ErrorCode.TASK_NOT_FOUND), ("../etc", ErrorCode.INVALID_TASK_ID)):
        with pytest.raises(TaskRefused) as caught:
            explain(catalog, policies, task_id)
        assert caught.value.code is code
    catalog.close()
