"""``GET /api/v0/data_pipeline/tasks/{task_id}`` and ``GET /api/v0/storage``."""

from __future__ import annotations

import pytest

from daemon.policy.models import Policy, PolicySet
from integration.web.installation import Api, Installation

TASKS = "/api/v0/data_pipeline/tasks"
STORAGE = "/api/v0/storage"


async def test_everything_that_is_known_of_a_task(api: Api, installation: Installation) -> None:
    policies = [
        {"name": "failed", "match": {"status": "failed"}, "action": {"delete": "directory"}},
        {"name": "old", "match": {"older_than": {"age": "30d", "by": "created"}}, "action": {"delete": "directory"}},
    ]
    installation.policies = PolicySet(policies=tuple(map(Policy.model_validate, policies)))
    installation.task("task_1", 10, by_user="ann")
    installation.seen("task_1", files=1, size_bytes=10)
    await api.delete("task_1", retain="7d")
    await api.ask("POST", f"{TASKS}/task_1/restore")
    await api.ask("POST", "/api/v0/holds", json={"pattern": "task_*", "reason": "an audit", "owner": "alice"})
    await api.ask("POST", "/api/v0/holds", json={"task_id": "task_2", "reason": "another"})
    answer = await api.ask("GET", f"{TASKS}/task_1")
    assert answer.status == 200
    data = answer.body["data"]
    assert data["task_id"] == "task_1"
    assert data["task"] == (await api.listing()).body["tasks"][0]
    assert (data["task"]["by_user"], data["task"]["held"], data["inventory"]) == ("ann", True, None)
    assert [(one["state"], one["restored_by"]) for one in data["deletions"]] == [("restored", "api:127.0.0.1")]
    assert [(one["pattern"], one["owner"], one["reason"]) for one in data["holds"]] == [("task_*", "alice", "an audit")]
    said = {one["policy"]: (one["goes"], one["verdict"], one["reason"]) for one in data["explanation"]["policies"]}
    assert said == dict.fromkeys(("failed", "old"), (False, "held", "held by alice: an audit"))
    assert b"hunter2" not in answer.raw
    for release in data["holds"]:
        await api.ask("DELETE", f"/api/v0/holds/{release['hold_id']}")
    data = (await api.ask("GET", f"{TASKS}/task_1")).body["data"]
    verdicts = {one["policy"]: (one["goes"], one["verdict"]) for one in data["explanation"]["policies"]}
    assert verdicts == {"failed": (False, "not_matched"), "old": (True, "selected")}
    assert (await api.ask("GET", f"{TASKS}/task_1/explain")).body["data"]["policies"][1]["decision"]["clauses"]


async def test_a_directory_without_a_row_is_found(api: Api, installation: Installation) -> None:
    installation.seen("manual_1", files=2, size_bytes=20)
    data = (await api.ask("GET", f"{TASKS}/manual_1")).body["data"]
    assert (data["task"], data["inventory"]["size_bytes"], data["inventory"]["sightings"]) == (None, 20, 2)
    assert data["inventory"]["measured_at"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_task_that_there_is_not(api: Api, method: str) -> None:
    answer = await api.ask(method, f"{TASKS}/task_1")
    assert answer.status == 404
    if method == "GET":
        assert (answer.body["error_code"], answer.body["message"]) == ("TASK_NOT_FOUND", "任务不存在: task_1")
    assert (await api.ask(method, f"{TASKS}/..%2Ftask_1")).status == 400


async def test_an_empty_storage(api: Api) -> None:
    data = (await api.ask("GET", STORAGE)).body["data"]
    assert data["scan"] is None
    assert data["drift"] is None
    nothing = {"files": 0, "size_bytes": 0, "freed_bytes": 0, "uncounted": 0}
    assert data["total"] == {"directories": 0, **nothing}
    assert data["trash"] == {"deletions": 0, **nothing, "oldest_at": None, "next_purge_at": None}
    assert data["by_user"] == data["by_database"] == data["by_status"] == []
    assert [(one["age"], one["directories"]) for one in data["by_age"]] == [
        (age, 0) for age in ("<1d", "<7d", "<30d", "<90d", "older", None)
    ]


async def test_who_uses_how_much(api: Api, installation: Installation) -> None:
    with installation.sql() as connection:
        recent = [connection.execute("SELECT datetime('now', ?)", (f"-{age}",)).fetchone()[0] for age in AGES]
    for number, created_at in enumerate([*recent, None]):
        installation.row(f"task_{number}", created_at=created_at, by_user="ann" if number else "bob")
        installation.seen(f"task_{number}", files=1, size_bytes=10**number, freed_bytes=4096)
    installation.seen("manual_1", files=1, size_bytes=10**7)
    installation.task("task_x", 5)
    await api.delete("task_x", retain="7d")
    data = (await api.ask("GET", STORAGE)).body["data"]
    assert {one["age"]: one["size_bytes"] for one in data["by_age"]} == {
        "<1d": 1,
        "<7d": 10,
        "<30d": 100,
        "<90d": 1000,
        "older": 10_000,
        None: 100_000 + 10**7,
    }
    users = {(one["user"], one["has_row"]): one["size_bytes"] for one in data["by_user"]}
    assert users == {("bob", True): 1, ("ann", True): 111_110, (None, False): 10**7}
    trash = data["trash"]
    assert (trash["deletions"], trash["files"], trash["size_bytes"], trash["uncounted"]) == (1, 1, 5, 0)
    assert trash["oldest_at"] < trash["next_purge_at"]
    disk = data["file_system"]
    assert disk["used_bytes"] + disk["free_bytes"] == disk["size_bytes"] > 0


async def test_a_root_that_is_gone_has_no_figures(api: Api, installation: Installation) -> None:
    installation.root.rename(installation.root.with_name("elsewhere"))
    answer = await api.ask("GET", STORAGE)
    assert (answer.status, answer.body["data"]["file_system"]) == (200, None)


AGES = ("1 hours", "2 days", "8 days", "31 days", "91 days")
