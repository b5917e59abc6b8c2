"""The policies over HTTP: plans, stored plans, sweeps by hand, what sweeps did, and one task explained."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from daemon.policy.models import Policy, PolicySet
from daemon.storage.locks import exclusive
from daemon.storage.root import StorageRoot
from integration.web.installation import Api, Installation

POLICIES = "/api/v0/policies"
SWEEPS = "/api/v0/sweeps"
TASKS = "/api/v0/data_pipeline/tasks"
ENGLISH = {"Accept-Language": "en"}


def policy(name: str, **options: Any) -> Policy:
    match = {"status": "completed", "older_than": "30d"}
    return Policy.model_validate({"name": name, "match": match, "action": {"delete": "directory"}, **options})


@pytest.fixture(autouse=True)
def policies(installation: Installation) -> None:
    installation.policies = PolicySet(
        policies=(policy("old", mode="enforce"), policy("watched"), policy("idle", mode="disabled"))
    )
    for number in range(3):
        installation.task(f"task_{number}", 100, completed_at=f"2025-07-0{number + 1} 10:00:00")
    installation.task("task_new", 100, completed_at="2999-01-01 10:00:00")


def directories(installation: Installation) -> set[str]:
    return {path.name for path in installation.root.iterdir()} - {".sweepd"}


async def test_the_policies_are_listed_with_their_defaults(api: Api) -> None:
    data = (await api.ask("GET", POLICIES)).body["data"]
    assert [(one["name"], one["mode"]) for one in data["policies"]] == [
        ("old", "enforce"),
        ("watched", "observe"),
        ("idle", "disabled"),
    ]
    assert data["policies"][0]["match"]["older_than"] == {"age": "30d", "by": "completed"}
    assert data["total"] == 3


async def test_a_plan_is_shown_with_its_decisions_and_changes_nothing(api: Api, installation: Installation) -> None:
    before = installation.everything()
    data = (await api.ask("GET", f"{POLICIES}/old/plan?limit=2")).body["data"]
    assert installation.everything() == before
    with installation.sql() as connection:
        assert connection.execute("SELECT count(*) FROM sweepd_plans").fetchone()[0] == 0
    assert (data["considered"], data["selected"]) == (4, 3)
    assert [one["task_id"] for one in data["goes"]] == ["task_0", "task_1"]
    [stays] = data["stays"]
    assert stays["eligible"]["at"] == "2999-01-31T10:00:00+00:00"
    assert [clause["holds"] for clause in stays["clauses"]] == [True, False]
    ahead = (await api.ask("GET", f"{POLICIES}/old/plan?at=2999-01-31T10:00")).body["data"]
    assert ahead["selected"] == 4


async def test_a_stored_plan_is_applied_exactly(api: Api, installation: Installation) -> None:
    stored = (await api.ask("POST", f"{POLICIES}/old/plans")).body["data"]
    assert (stored["selected"], stored["considered"]) == (3, 4)
    with installation.sql() as connection:
        connection.execute("UPDATE data_pipeline_tasks SET status = 'in_progress' WHERE task_id = 'task_1'")
    installation.task("task_more", 100, completed_at="2025-01-01 10:00:00")
    sent = {"confirm": True, "plan": stored["digest"]}
    answer = await api.ask("POST", f"{POLICIES}/old/sweeps", json=sent, headers=ENGLISH)
    report = answer.body["data"]
    assert answer.status == 200
    assert answer.body["message"] == "Sweep ended without deleting everything that was selected"
    assert (sorted(report["deleted"]), report["dropped_count"]) == (["task_0", "task_2"], 1)
    assert (report["dropped"][0]["task_id"], report["dropped"][0]["code"]) == ("task_1", "TASK_RUNNING")
    assert directories(installation) == {"task_1", "task_more", "task_new"}


async def test_what_failed_before_is_tried_again_when_somebody_asks(api: Api, installation: Installation) -> None:
    directory, elsewhere = installation.root / "task_1", installation.root.parent / "task_1"
    directory.rename(elsewhere)
    directory.symlink_to(elsewhere)
    first = (await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True})).body["data"]
    assert (first["outcome"], first["failed_count"], first["failed_again_count"]) == ("partial", 1, 0)
    plan = (await api.ask("GET", f"{POLICIES}/old/plan")).body["data"]
    assert plan["stay_counts"]["backing_off"] == 1
    second = (await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True})).body["data"]
    assert (second["outcome"], second["selected"]) == ("success", 0)
    third = (await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True, "retry": True})).body["data"]
    assert (third["outcome"], [one["task_id"] for one in third["failed_again"]]) == ("success", ["task_1"])
    wrong = await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True, "retry": 1})
    assert wrong.status == 400


async def test_a_sweep_runs_and_is_remembered(api: Api, installation: Installation) -> None:
    report = (await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True})).body["data"]
    assert (report["outcome"], report["deleted_count"]) == ("success", 3)
    assert directories(installation) == {"task_new"}
    await api.ask("POST", f"{POLICIES}/watched/sweeps", json={"confirm": True})
    listed = (await api.ask("GET", f"{SWEEPS}?policy=old")).body["data"]["sweeps"]
    assert [(one["sweep_id"], one["trigger"], one["deleted"]) for one in listed] == [(report["sweep_id"], "api", 3)]
    assert len((await api.ask("GET", SWEEPS)).body["data"]["sweeps"]) == 2
    assert len((await api.ask("GET", f"{SWEEPS}?limit=1")).body["data"]["sweeps"]) == 1
    one = (await api.ask("GET", f"{SWEEPS}/{report['sweep_id']}")).body["data"]
    assert one["report"] == report
    assert one["plan_digest"] == report["plan_digest"]


async def test_an_observing_sweep_is_remembered_with_what_it_would_have_deleted(
    api: Api, installation: Installation
) -> None:
    before = directories(installation)
    report = (await api.ask("POST", f"{POLICIES}/watched/sweeps", json={"confirm": True})).body["data"]
    assert directories(installation) == before
    one = (await api.ask("GET", f"{SWEEPS}/{report['sweep_id']}")).body["data"]
    assert (one["outcome"], one["report"]["selected_tasks"]) == ("observed", ["task_0", "task_1", "task_2"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", f"{POLICIES}/none/plan", None, 404, "POLICY_NOT_FOUND"),
        ("POST", f"{POLICIES}/none/plans", None, 404, "POLICY_NOT_FOUND"),
        ("POST", f"{POLICIES}/none/sweeps", {"confirm": True}, 404, "POLICY_NOT_FOUND"),
        ("POST", f"{POLICIES}/old/sweeps", {"confirm": True, "plan": "ffffffff"}, 404, "PLAN_NOT_FOUND"),
        ("POST", f"{POLICIES}/old/sweeps", {"confirm": True, "plan": 7}, 400, "INVALID_PARAMETER"),
        ("POST", f"{POLICIES}/old/sweeps", {"confirm": False}, 400, "INVALID_PARAMETER"),
        ("POST", f"{POLICIES}/old/sweeps", {}, 400, "MISSING_PARAMETER"),
        ("POST", f"{POLICIES}/old/sweeps", {"confirm": True, "dry_run": True}, 400, "UNKNOWN_PARAMETER"),
        ("POST", f"{POLICIES}/old/plans", {"at": "2999-01-01"}, 400, "UNKNOWN_PARAMETER"),
        ("POST", f"{POLICIES}/idle/sweeps", {"confirm": True}, 409, "STARTUP_REFUSED"),
        ("POST", f"{POLICIES}/watched/sweeps", {"confirm": True, "plan": "ffffffff"}, 409, "STARTUP_REFUSED"),
        ("GET", f"{POLICIES}/old/plan?at=tomorrow", None, 400, "INVALID_PARAMETER"),
        ("GET", f"{POLICIES}/old/plan?at=2026-01-01&at=2026-01-02", None, 400, "INVALID_PARAMETER"),
        ("GET", f"{POLICIES}/old/plan?limit=0", None, 400, "INVALID_PARAMETER"),
        ("GET", f"{SWEEPS}/none", None, 404, "SWEEP_NOT_FOUND"),
        ("GET", f"{TASKS}/none/explain", None, 404, "TASK_NOT_FOUND"),
        ("GET", f"{TASKS}/..%2Fetc/explain", None, 400, "INVALID_TASK_ID"),
        ("DELETE", POLICIES, None, 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_cannot_be_done_says_so_and_deletes_nothing(
    api: Api, installation: Installation, method: str, path: str, body: Any, status: int, code: str
) -> None:
    before = installation.everything()
    options: dict[str, Any] = {} if body is None else {"json": body}
    answer = await api.ask(method, path, headers=ENGLISH, **options)
    assert (answer.status, answer.body["error_code"]) == (status, code)
    assert installation.everything() == before


async def test_a_plan_of_a_changed_policy_is_refused_and_says_what_to_do(api: Api, installation: Installation) -> None:
    digest = (await api.ask("POST", f"{POLICIES}/old/plans")).body["data"]["digest"]
    installation.policies = PolicySet(policies=(policy("old", mode="enforce", match={"status": "completed"}),))
    answer = await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True, "plan": digest})
    assert (answer.status, answer.body["error_code"]) == (409, "PLAN_OUTDATED")
    assert "sweepd plan old --save" in answer.body["data"]["reason"]
    assert len(directories(installation)) == 4


async def test_a_policy_that_is_being_swept_is_a_conflict(api: Api, installation: Installation) -> None:
    root = StorageRoot(installation.root, api.context.catalog.root_id)
    lock = exclusive(root, "sweep.old")
    assert await asyncio.to_thread(lock.__enter__)
    answer = await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True})
    await asyncio.to_thread(lock.__exit__, None, None, None)
    assert (answer.status, answer.body["error_code"]) == (409, "SWEEP_RUNNING")
    assert "Retry-After" in answer.headers


async def test_no_sweep_begins_before_recovery_has_ended(api: Api, installation: Installation) -> None:
    api.problems["recovery"] = "not yet"
    answer = await api.ask("POST", f"{POLICIES}/old/sweeps", json={"confirm": True})
    assert (answer.status, answer.body["error_code"]) == (503, "STARTING")


async def test_a_task_is_explained_before_every_policy(api: Api) -> None:
    data = (await api.ask("GET", f"{TASKS}/task_new/explain")).body["data"]
    assert [one["decision"]["verdict"] for one in data["policies"]] == ["not_matched"] * 3
    assert data["policies"][0]["decision"]["eligible"]["when"] == "later"
    ahead = (await api.ask("GET", f"{TASKS}/task_new/explain?at=2999-02-01")).body["data"]
    assert ahead["policies"][0]["decision"]["verdict"] == "selected"
