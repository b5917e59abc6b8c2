"""``Idempotency-Key``: a retry gets the first answer and deletes nothing twice, whatever was cut off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from daemon.catalog.tables import idempotency
from daemon.config import ServerConfig
from daemon.deletion.models import Outcome, Request
from daemon.errors import CatalogUnavailable, SweepdError
from daemon.web.addresses import TASKS
from daemon.web.application import JOBS_RUNNER
from daemon.web.jobs import JOBS
from integration.web.installation import Answer, Api, Installation, serving

FIRST, SECOND, THIRD = "task_20250702_173932", "task_20250702_174521", "task_20250702_180000"
ASYNC: dict[str, Any] = {"async": True}
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def ask(api: Api, task_id: str, headers: Mapping[str, str] = KEY, **body: Any) -> Any:
    return api.ask("DELETE", f"{TASKS}/{task_id}", json={"confirm": True, **body}, headers=headers)


def same(first: Answer, again: Answer) -> None:
    assert (again.status, again.raw) == (first.status, first.raw)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers.get("Location") == first.headers.get("Location")
    assert again.headers["Content-Language"] == first.headers["Content-Language"]
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]


async def forget_answer(api: Api) -> None:
    """As if the daemon had been killed before it could keep the answer."""

    def forget() -> None:
        with api.context.catalog.write() as session:
            session.connection.execute(idempotency.update().values(status=None, headers=None, body=None))

    await asyncio.to_thread(forget)


async def test_a_retry_gets_the_first_answer(api: Api, installation: Installation) -> None:
    installation.fifteen(FIRST)
    first = await ask(api, FIRST)
    assert "Idempotency-Replayed" not in first.headers
    installation.files(FIRST, 10)
    same(first, await ask(api, FIRST, {**KEY, "Accept-Language": "en"}))
    assert (installation.root / FIRST).is_dir()
    assert len(installation.journal()) == 1


async def test_a_refusal_is_an_answer_as_well(api: Api, installation: Installation) -> None:
    first = await ask(api, FIRST)
    assert first.status == 404
    installation.task(FIRST, 10)
    same(first, await ask(api, FIRST))
    assert (installation.root / FIRST).is_dir()


async def test_the_same_key_with_another_request(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10)
    installation.task(SECOND, 10)
    await ask(api, FIRST)
    others = [
        await ask(api, SECOND),
        await ask(api, FIRST, delete_database_records=True),
        await ask(api, FIRST, {**KEY, "Prefer": "respond-async"}),
        await api.batch(FIRST, headers=KEY),
    ]
    for other in others:
        assert (other.status, other.body["error_code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (installation.root / SECOND).is_dir()
    assert (await ask(api, SECOND, {"Idempotency-Key": "another"})).status == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schl\u00fcssel"])
async def test_a_key_that_is_none(api: Api, installation: Installation, key: str) -> None:
    installation.task(FIRST, 10)
    before = installation.everything()
    refused = await ask(api, FIRST, {"Idempotency-Key": key})
    assert (refused.status, refused.body["error_code"]) == (400, "INVALID_PARAMETER")
    assert refused.body["data"] == {"parameter": "Idempotency-Key"}
    assert installation.everything() == before


async def test_while_the_first_is_under_way(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.task(FIRST, 10)
    engine, delete, go = api.context.engine, api.context.engine.delete, threading.Event()
    begun, loop = asyncio.Event(), asyncio.get_running_loop()

    def slow(request: Request) -> Outcome:
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(20)
        return delete(request)

    monkeypatch.setattr(engine, "delete", slow)
    asking = asyncio.create_task(ask(api, FIRST))
    await begun.wait()
    busy, other = await ask(api, FIRST), await ask(api, SECOND)
    go.set()
    first = await asking
    assert (busy.status, busy.body["error_code"], busy.headers["Retry-After"]) == (409, "IDEMPOTENCY_KEY_IN_USE", "5")
    assert (other.status, other.body["error_code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    same(first, await ask(api, FIRST))


@pytest.mark.parametrize("options", [{}, {"delete_database_records": True}, {"retain": "7d"}])
async def test_cut_off_between_the_deletion_and_its_answer(
    api: Api, installation: Installation, options: dict[str, Any]
) -> None:
    installation.fifteen(FIRST)
    first = await ask(api, FIRST, **options)
    await forget_answer(api)
    again = await ask(api, FIRST, **options)
    assert (again.status, again.body) == (200, first.body)
    assert again.body["data"]["deleted_files_count"] == 15
    assert len(installation.journal()) == 1


async def test_a_batch_that_was_cut_off_goes_on(api: Api, installation: Installation) -> None:
    for task_id in (FIRST, SECOND):
        installation.task(task_id, 10, 20)
    first = await api.batch(FIRST, SECOND, THIRD, headers=KEY)
    assert first.body["data"]["summary"]["failed"] == 1
    await forget_answer(api)
    installation.task(THIRD, 10)
    again = await api.batch(FIRST, SECOND, THIRD, headers=KEY)
    assert again.body["data"]["summary"]["successfully_deleted"] == 3
    assert again.body["data"]["deleted_tasks"][:2] == first.body["data"]["deleted_tasks"]
    assert len(installation.journal()) == 3


async def test_a_batch_that_may_fare_better_later_is_tried_again(api: Api, installation: Installation) -> None:
    """The storage root was away: of the answer to that nothing is kept."""
    installation.task(FIRST, 10)
    away = installation.root.with_name("away")
    installation.root.rename(away)
    first = await api.batch(FIRST, SECOND, headers=KEY)
    assert first.body["data"]["failed_tasks"][0]["error_code"] == "ROOT_UNAVAILABLE"
    away.rename(installation.root)
    again = await api.batch(FIRST, SECOND, headers=KEY)
    assert "Idempotency-Replayed" not in again.headers
    assert again.body["data"]["summary"]["successfully_deleted"] == 1
    same(again, await api.batch(FIRST, SECOND, headers=KEY))


async def test_a_batch_that_a_stop_cut_short_goes_on(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in (FIRST, SECOND):
        installation.task(task_id, 10, 20)
    monkeypatch.setattr("daemon.jobs.batch.GROUP", 1)
    async with serving(installation) as api:
        delete, stopping = api.context.engine.delete_group, asyncio.Event()
        loop, go = asyncio.get_running_loop(), threading.Event()

        def slow(requests: Sequence[Request]) -> list[Outcome | SweepdError]:
            loop.call_soon_threadsafe(stopping.set)
            assert go.wait(20)
            return delete(requests)

        monkeypatch.setattr(api.context.engine, "delete_group", slow)
        asking = asyncio.create_task(api.batch(FIRST, SECOND, headers=KEY))
        await stopping.wait()
        closing = asyncio.create_task(api.runner.cleanup())
        await asyncio.sleep(0.05)
        go.set()
        first = (await asking).body["data"]
        await closing
    assert (first["summary"]["successfully_deleted"], first["not_attempted"]) == (1, [SECOND])
    async with serving(installation) as api:
        again = (await api.batch(FIRST, SECOND, headers=KEY)).body["data"]
    assert again["deleted_tasks"][0] == first["deleted_tasks"][0]
    assert (again["summary"]["successfully_deleted"], again["not_attempted"]) == (2, [])
    assert len(installation.journal()) == 2


async def test_a_batch_that_its_first_failure_ended_is_an_answer(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10, status="in_progress")
    installation.task(SECOND, 10)
    first = await api.batch(FIRST, SECOND, headers=KEY, continue_on_error=False)
    assert first.body["data"]["not_attempted"] == [SECOND]
    same(first, await api.batch(FIRST, SECOND, headers=KEY, continue_on_error=False))


async def test_a_job_is_made_once(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10)
    first = await ask(api, FIRST, **ASYNC)
    same(first, await ask(api, FIRST, **ASYNC))
    await forget_answer(api)
    again = await ask(api, FIRST, **ASYNC)
    assert (again.status, again.headers["Location"]) == (202, first.headers["Location"])
    assert len((await api.ask("GET", JOBS)).body["data"]["jobs"]) == 1


async def test_a_job_that_was_made_is_told_though_there_is_no_room_for_another(installation: Installation) -> None:
    """The answer to the first try was lost."""
    installation.task(FIRST, 10)
    async with serving(installation, server=ServerConfig(max_waiting=1)) as api:
        first = await ask(api, FIRST, **ASYNC)
        await forget_answer(api)
        jobs = api.runner.app[JOBS_RUNNER]
        while jobs.find(first.body["data"]["job_id"]) is not None:
            await asyncio.sleep(0.01)
        with jobs.place():
            again = await ask(api, FIRST, **ASYNC)
            other = await ask(api, FIRST, {"Idempotency-Key": "another"}, **ASYNC)
    assert (again.status, again.headers["Location"]) == (202, first.headers["Location"])
    assert other.status == 429


async def test_a_restore_is_done_once(api: Api, installation: Installation) -> None:
    installation.task(FIRST, 10)
    await ask(api, FIRST, {}, retain="7d")
    path = f"{TASKS}/{FIRST}/restore"
    first = await api.ask("POST", path, headers=KEY)
    assert first.status == 200
    same(first, await api.ask("POST", path, headers=KEY))
    await forget_answer(api)
    again = await api.ask("POST", path, headers=KEY)
    assert (again.status, again.body) == (200, first.body)


async def test_a_restore_without_the_key_is_taken_for_its_own_only_while_it_lasts(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same client restores without the key, and deletes again: what waits then is what the retry brings back."""
    installation.task(FIRST, 10)
    await ask(api, FIRST, {}, retain="7d")
    path = f"{TASKS}/{FIRST}/restore"

    def away(*_: object) -> None:
        raise CatalogUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(api.context.restorer, "restore_task", away)
        assert (await api.ask("POST", path, headers=KEY)).status == 503
    assert (await api.ask("POST", path)).status == 200
    again = (await ask(api, FIRST, {}, retain="7d")).body["data"]
    retried = await api.ask("POST", path, headers=KEY)
    assert [one["deletion_id"] for one in retried.body["data"]["restored"]] == [again["deletion_id"]]
    assert (installation.root / FIRST).is_dir()


async def test_what_may_pass_is_tried_again(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.task(FIRST, 10)

    def away(_request: Request) -> Outcome:
        raise CatalogUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(api.context.engine, "delete", away)
        assert (await ask(api, FIRST)).status == 503
    assert (await ask(api, FIRST)).status == 200


async def test_a_key_is_remembered_by_the_next_daemon_for_a_day(installation: Installation) -> None:
    installation.task(FIRST, 10)
    async with serving(installation) as api:
        first = await ask(api, FIRST)
    async with serving(installation) as api:
        same(first, await ask(api, FIRST))
        with installation.sql() as connection:
            connection.execute("UPDATE sweepd_idempotency SET begun_at = datetime('now', '-25 hours')")
        again = await ask(api, FIRST)
        assert "Idempotency-Replayed" not in again.headers
        assert again.body["data"]["directory_deleted"] is False
