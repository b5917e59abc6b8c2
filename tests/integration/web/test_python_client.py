"""The Python client in front of the real API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from daemon.client import Client, Conflict, Forbidden, InvalidRequest, NotFound, Unauthorized, Unavailable
from daemon.config import ServerConfig
from daemon.policy.models import Policy, PolicySet
from daemon.web.messages import Language, text
from integration.web.installation import NO_DATABASE, Api, Installation, serving
from integration.web.remote import ask

TASK, OTHER = "task_20250702_173932", "task_20250702_174521"
TOKEN = "a-token-of-more-than-16"


async def test_deleted_listed_and_restored(api: Api, installation: Installation) -> None:
    installation.fifteen(TASK)
    installation.task(OTHER, 10, status="in_progress")

    def run(client: Client) -> None:
        done = client.delete(TASK, retain="7d")
        assert (done["directory_deleted"], done["deleted_size"]) == (True, "2.5 MB")
        [waiting] = client.trash()
        assert (waiting["task_id"], waiting["deletion_id"]) == (TASK, done["deletion_id"])
        assert {task["task_id"]: task["directory_exists"] for task in client.tasks()} == {TASK: False, OTHER: True}
        restored = client.restore(TASK, deletion_id=done["deletion_id"])
        assert restored["restored"][0]["directory_restored"] is True
        with pytest.raises(Conflict) as caught:
            client.delete(OTHER)
        assert (caught.value.error_code, caught.value.data["current_status"]) == ("TASK_RUNNING", "in_progress")
        batch = client.delete_many([TASK, OTHER, "task_missing"], records=True, force=True)
        assert [one["task_id"] for one in batch["deleted_tasks"]] == [TASK, OTHER]
        assert [one["error_code"] for one in batch["failed_tasks"]] == ["TASK_NOT_FOUND"]

    await ask(api, run)
    assert (installation.tree() - {".sweepd/retained"}, installation.rows()) == (set(), {})


async def test_every_task_is_met_once_whatever_the_page_size(api: Api, installation: Installation) -> None:
    names = {f"task_20250702_17393{number}" for number in range(5)}
    for name in names:
        installation.row(name)
    installation.row("task_20250702_000000", status="failed")

    def run(client: Client) -> None:
        for size in (1, 2, 5, 1000):
            found = [task["task_id"] for task in client.tasks(status="completed", page_size=size)]
            assert (len(found), set(found)) == (5, names)
        with pytest.raises(InvalidRequest) as caught:
            list(client.tasks(page_size=0))
        assert caught.value.error_code == "INVALID_PARAMETER"

    await ask(api, run)


async def test_holds(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)

    def run(client: Client) -> None:
        hold = client.hold(pattern="task_2025*", reason="an audit", lasting="30d", owner="alice")
        assert [one["hold_id"] for one in client.holds()] == [hold["hold_id"]]
        with pytest.raises(Conflict) as caught:
            client.delete(TASK, force=True)
        assert caught.value.data["owner"] == "alice"
        assert client.release(hold["hold_id"])["in_force"] is False
        assert client.holds() == []
        assert len(client.holds(everything=True)) == 1
        with pytest.raises(NotFound):
            client.release(hold["hold_id"])

    await ask(api, run)


async def test_policies_plans_and_sweeps(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10, completed_at="2025-07-02 18:00:00")
    old = {"name": "old", "mode": "enforce", "match": {"status": ["completed"]}, "action": {"delete": "directory"}}
    installation.policies = PolicySet(policies=(Policy.model_validate(old),))

    def run(client: Client) -> None:
        assert [one["name"] for one in client.policies()["policies"]] == ["old"]
        assert [one["task_id"] for one in client.plan("old", limit=5)["goes"]] == [TASK]
        assert client.explain(TASK)["policies"][0]["decision"]["verdict"] == "selected"
        digest = client.store_plan("old")["digest"]
        assert client.sweep("old", plan=digest)["deleted"] == [TASK]
        assert [one["policy"] for one in client.sweeps(policy="old")] == ["old"]
        with pytest.raises(NotFound) as caught:
            client.plan("nothing")
        assert caught.value.data["known"] == ["old"]

    await ask(api, run)


async def test_inventory_and_health(api: Api) -> None:
    assert (await ask(api, lambda client: client.inventory(largest=3)))["scan"] is None
    assert await ask(api, lambda client: client.live()) is True
    assert (await ask(api, lambda client: client.ready()))["checks"]["catalog"]["ready"] is True
    api.problems["catalog"] = "away"
    with pytest.raises(Unavailable) as caught:
        await ask(api, lambda client: client.ready())
    assert caught.value.data["checks"]["catalog"]["problem"] == "away"


async def test_an_error_has_everything_that_was_answered(api: Api) -> None:
    with pytest.raises(NotFound) as caught:
        await ask(api, lambda client: client.delete("task_missing"), language="zh")
    error = caught.value
    assert error.message == text("TASK_NOT_FOUND", Language.CHINESE, task_id="task_missing")
    assert error.hint is not None
    assert error.hint in str(error)
    assert error.request_id is not None
    assert len(error.request_id) == 32


async def test_a_database_that_is_away(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(installation, url=NO_DATABASE) as api:
        with pytest.raises(Unavailable) as caught:
            await ask(api, lambda client: list(client.tasks()), retries=0)
    assert (caught.value.error_code, caught.value.retry_after) == ("CATALOG_UNAVAILABLE", 5)


async def test_tokens(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEPD_TOKEN", raising=False)
    async with serving(installation, server=ServerConfig(tokens=(SecretStr(TOKEN),))) as api:
        with pytest.raises(Unauthorized):
            await ask(api, lambda client: client.trash())
        assert await ask(api, lambda client: client.trash(), token=TOKEN) == []
        monkeypatch.setenv("SWEEPD_TOKEN", TOKEN)
        assert await ask(api, lambda client: client.trash()) == []


async def test_a_foreign_host_name(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> None:
        with Client(api.base) as client:
            client._transport._session.headers["Host"] = "evil.example"
            client.trash()

    with pytest.raises(Forbidden):
        await asyncio.to_thread(run)


async def test_over_a_unix_socket(api: Api, installation: Installation, tmp_path: Path) -> None:
    installation.task(TASK, 10)
    path = tmp_path / "api socket"
    await web.UnixSite(api.runner, path).start()

    def run() -> None:
        with Client(f"unix://{str(path).replace(' ', '%20')}") as client:
            assert client.delete(TASK)["directory_deleted"] is True
            assert [task["directory_exists"] for task in client.tasks()] == [False]

    await asyncio.to_thread(run)
