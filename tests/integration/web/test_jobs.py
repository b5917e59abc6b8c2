"""Jobs: deletions in the background, seen, cancelled, and gone on with by the next daemon."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from daemon.catalog import jobs
from daemon.catalog.catalog import Catalog
from daemon.catalog.jobs import JobTask
from daemon.config import ServerConfig
from daemon.deletion.models import Outcome, Request
from daemon.errors import CatalogUnavailable, ErrorCode, SweepdError
from daemon.jobs.journal import Journal
from daemon.jobs.recall import recall
from daemon.web.addresses import TASKS
from daemon.web.events import MOST_LISTENERS
from daemon.web.jobs import JOBS
from integration.web.installation import Answer, Api, Installation, serving
from support.logs import logged

ASYNC: dict[str, Any] = {"async": True}
IDS = [f"task_{number:03}" for number in range(12)]


async def ended(api: Api, job_id: str) -> dict[str, Any]:
    """The job once it has ended."""
    for _ in range(600):
        job: dict[str, Any] = (await api.ask("GET", f"{JOBS}/{job_id}")).body["data"]
        if job["state"] in ("finished", "cancelled"):
            return job
        await asyncio.sleep(0.02)
    raise AssertionError(f"the job has not ended: {job}")


async def events(api: Api, job_id: str, after: int | None = None) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Name, id and data of every event until the server ends the stream."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with api.session.get(f"{api.base}{JOBS}/{job_id}/events", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        text = await asyncio.wait_for(response.text(), 30)
    return parsed(text)


def parsed(text: str) -> list[tuple[str, str | None, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


class Gate:
    """Holds the engine's groups until it is opened."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = asyncio.Event()
        self.calls: list[list[str]] = []
        self._open = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._delete = api.context.engine.delete_group
        monkeypatch.setattr(api.context.engine, "delete_group", self._held)

    def open(self) -> None:
        self._open.set()

    def _held(self, requests: Sequence[Request]) -> list[Outcome | SweepdError]:
        self.calls.append([request.task_id for request in requests])
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._open.wait(20)
        return self._delete(requests)


@asynccontextmanager
async def gated(api: Api, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    gate = Gate(api, monkeypatch)
    try:
        yield gate
    finally:
        gate.open()


def without_ids(data: dict[str, Any]) -> str:
    entries = [
        {k: v for k, v in one.items() if k not in ("deletion_id", "deleted_at")} for one in data["deleted_tasks"]
    ]
    return json.dumps({**data, "deleted_tasks": entries, "deleted_at": None}, sort_keys=True)


async def test_a_batch_runs_as_a_job_and_its_result_is_that_of_a_batch(api: Api, installation: Installation) -> None:
    for task_id in IDS[:3]:
        installation.task(task_id, 10, 20)
    installation.task(IDS[3], 10, status="in_progress")
    accepted = await api.batch(*IDS[:4], "no/id\0", **ASYNC, retain=None)
    job = accepted.body["data"]
    assert accepted.status == 202
    assert accepted.body["message"] == "任务已受理,正在后台执行"
    assert accepted.headers["Location"] == job["url"] == f"{JOBS}/{job['job_id']}"
    assert "Preference-Applied" not in accepted.headers
    assert (job["kind"], job["initiator"], job["events_url"]) == ("batch", "api:127.0.0.1", job["url"] + "/events")
    assert job["options"] == {
        "delete_database_records": False,
        "force": False,
        "retain": None,
        "continue_on_error": True,
    }
    assert job["progress"]["tasks_total"] == 5
    over = await ended(api, job["job_id"])
    assert over["state"] == "finished"
    assert over["started_at"] <= over["finished_at"]
    result = over["result"]
    assert [entry["task_id"] for entry in result["deleted_tasks"]] == IDS[:3]
    assert [(e["task_id"], e["error_code"]) for e in result["failed_tasks"]] == [
        (IDS[3], "TASK_RUNNING"),
        ("no/id\0", "INVALID_TASK_ID"),
    ]
    assert result["failed_tasks"][0]["error"] == "任务正在运行中,无法删除"
    assert result["failed_tasks"][0]["current_status"] == "in_progress"
    assert result["summary"]["deleted_bytes"] == 90
    assert (over["progress"]["files_done"], over["progress"]["bytes_done"]) == (6, 90)
    assert {row["job_id"] for row in installation.journal()} == {job["job_id"]}
    english = await api.ask("GET", job["url"], headers={"Accept-Language": "en"})
    assert english.body["data"]["result"]["failed_tasks"][0]["error"] == "The task is running and cannot be deleted"
    for task_id in IDS[:3]:
        installation.files(task_id, 10, 20)
        with installation.sql() as connection:
            connection.execute("UPDATE data_pipeline_tasks SET directory_exists = 1 WHERE task_id = ?", (task_id,))
    waited_for = (await api.batch(*IDS[:4], "no/id\0")).body["data"]
    assert without_ids(waited_for) == without_ids(result)


async def test_the_header_asks_for_a_job_too(api: Api, installation: Installation) -> None:
    installation.task(IDS[0], 10)
    headers = {"Prefer": "wait=5, respond-async"}
    accepted = await api.ask("DELETE", f"{TASKS}/{IDS[0]}", json={"confirm": True, "retain": "36h"}, headers=headers)
    assert accepted.status == 202
    assert accepted.headers["Preference-Applied"] == "respond-async"
    assert accepted.body["data"]["options"]["retain"] == "1d12h"
    job = await ended(api, accepted.body["data"]["job_id"])
    assert job["kind"] == "task"
    assert "retained_until" in job["result"]["deleted_tasks"][0]


async def test_a_wrong_id_is_refused_before_there_is_a_job(api: Api) -> None:
    refused = await api.delete("..%2f", **ASYNC)
    assert (refused.status, refused.body["error_code"]) == (400, "INVALID_TASK_ID")
    assert (await api.ask("GET", JOBS)).body["data"] == {"jobs": [], "next_cursor": None}


async def test_a_job_ends_at_the_first_failure_if_it_has_to(api: Api, installation: Installation) -> None:
    installation.task(IDS[0], 10)
    installation.task(IDS[2], 10)
    accepted = await api.batch(IDS[0], "task_missing", IDS[2], continue_on_error=False, **ASYNC)
    result = (await ended(api, accepted.body["data"]["job_id"]))["result"]
    assert [entry["task_id"] for entry in result["deleted_tasks"]] == [IDS[0]]
    assert [entry["error_code"] for entry in result["failed_tasks"]] == ["TASK_NOT_FOUND"]
    assert result["not_attempted"] == [IDS[2]]
    assert result["summary"]["total_requested"] == 3


async def test_jobs_are_listed_by_pages_newest_first(api: Api) -> None:
    made = []
    for _ in range(3):
        made.append((await api.batch("task_missing", **ASYNC)).body["data"]["job_id"])
        await ended(api, made[-1])
        await asyncio.sleep(0.002)  # ids sort by the millisecond
    first = (await api.ask("GET", f"{JOBS}?limit=2&state=finished")).body["data"]
    assert [job["job_id"] for job in first["jobs"]] == [made[2], made[1]]
    assert "result" not in first["jobs"][0]
    second = (await api.ask("GET", f"{JOBS}?limit=2&cursor={first['next_cursor']}")).body["data"]
    assert ([job["job_id"] for job in second["jobs"]], second["next_cursor"]) == ([made[0]], None)
    assert (await api.ask("GET", f"{JOBS}?state=queued")).body["data"]["jobs"] == []


@pytest.mark.parametrize("query", ["state=lost", "cursor=x", "limit=0", "state=queued&state=running"])
async def test_a_wrong_query_is_refused(api: Api, query: str) -> None:
    refused = await api.ask("GET", f"{JOBS}?{query}")
    assert (refused.status, refused.body["error_code"]) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("job_id", ["0" * 28, "no", "%00"])
async def test_what_is_no_job_is_not_found(api: Api, job_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
        answer = await api.ask(method, f"{JOBS}/{job_id}{path}")
        assert (answer.status, answer.body["error_code"]) == (404, "JOB_NOT_FOUND")


async def test_events_tell_every_task_once_and_then_the_end(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in IDS[:10]:
        installation.task(task_id, 10)
    async with gated(api, monkeypatch) as gate:
        job_id = (await api.batch(*IDS[:10], "task_missing", **ASYNC)).body["data"]["job_id"]
        following = asyncio.create_task(events(api, job_id))
        await gate.begun.wait()
        await api.until("sweepd_event_listeners 1.0")
        gate.open()
        told = await following
    tasks = [(number, data) for name, number, data in told if name == "task"]
    assert [number for number, _ in tasks] == [str(n) for n in range(1, 12)]
    assert [data["task_id"] for _, data in tasks] == [*IDS[:10], "task_missing"]
    assert {data["outcome"] for _, data in tasks[:10]} == {"deleted"}
    assert {len(data["deletion_id"]) for _, data in tasks[:10]} == {28}
    assert tasks[10][1] == {"task_id": "task_missing", "outcome": "failed", "error_code": "TASK_NOT_FOUND"}
    progress = [data for name, _, data in told if name == "progress"]
    assert progress[0]["tasks_done"] == 0
    assert progress[-1]["tasks_done"] == progress[-1]["tasks_total"] == 11
    name, number, data = told[-1]
    assert (name, number, data["state"], "result" in data) == ("end", "12", "finished", False)
    later = await events(api, job_id, after=9)
    assert [number for name, number, _ in later if name == "task"] == ["10", "11"]
    assert later[-1][0] == "end"
    async with api.session.get(f"{api.base}{JOBS}/{job_id}/events", headers={"Last-Event-ID": "12"}) as response:
        assert response.status == 204
    async with api.session.head(f"{api.base}{JOBS}/{job_id}/events") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_a_running_job_is_cancelled_between_groups(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in IDS:
        installation.task(task_id, 10)
    monkeypatch.setattr("daemon.jobs.batch.GROUP", 2)
    async with gated(api, monkeypatch) as gate:
        job_id = (await api.batch(*IDS, **ASYNC)).body["data"]["job_id"]
        await gate.begun.wait()
        assert (await api.ask("GET", f"{JOBS}?state=running")).body["data"]["jobs"][0]["job_id"] == job_id
        answer = await api.ask("DELETE", f"{JOBS}/{job_id}")
        assert (answer.status, answer.body["message"]) == (200, "作业将在当前一组完成后停止")
        gate.open()
        job = await ended(api, job_id)
    assert job["state"] == "cancelled"
    assert [entry["task_id"] for entry in job["result"]["deleted_tasks"]] == IDS[:2]
    assert job["result"]["not_attempted"] == IDS[2:]
    assert gate.calls == [IDS[:2]]
    again = await api.ask("DELETE", f"{JOBS}/{job_id}")
    assert (again.status, again.body["error_code"], again.body["message"]) == (
        409,
        "JOB_ENDED",
        "作业已结束: cancelled",
    )


async def test_a_queued_job_is_cancelled_at_once(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.task(IDS[0], 10)
    installation.task(IDS[1], 10)
    async with serving(installation, threads=2) as api, gated(api, monkeypatch) as gate:
        first = (await api.batch(IDS[0], **ASYNC)).body["data"]["job_id"]
        await gate.begun.wait()
        second = (await api.batch(IDS[1], **ASYNC)).body["data"]
        assert second["state"] == "queued"
        answer = await api.ask("DELETE", f"{JOBS}/{second['job_id']}")
        job = answer.body["data"]
        assert answer.body["message"] == "作业已取消"
        assert (job["state"], job["started_at"], job["result"]["not_attempted"]) == ("cancelled", None, [IDS[1]])
        gate.open()
        await ended(api, first)
    assert (installation.root / IDS[1]).is_dir()


async def test_the_next_daemon_goes_on_with_a_job(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    for task_id in IDS:
        installation.task(task_id, 10)
    monkeypatch.setattr("daemon.jobs.batch.GROUP", 3)
    async with serving(installation) as api:
        async with gated(api, monkeypatch) as gate:
            job_id = (await api.batch(*IDS, **ASYNC)).body["data"]["job_id"]
            await gate.begun.wait()
            closing = asyncio.create_task(api.runner.cleanup())
            await asyncio.sleep(0.05)
        await closing
        assert gate.calls == [IDS[:3]]
    async with serving(installation) as api:
        job = await ended(api, job_id)
        told = await events(api, job_id)
    assert job["state"] == "finished"
    assert job["result"]["summary"]["successfully_deleted"] == 12
    assert [number for name, number, _ in told if name == "task"] == [str(n) for n in range(1, 13)]
    assert sorted(row["task_id"] for row in installation.journal()) == IDS


async def test_a_job_waits_until_the_catalog_is_back(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in IDS[:3]:
        installation.task(task_id, 10)
    engine, delete, calls = api.context.engine, api.context.engine.delete_group, []

    def away(requests: Sequence[Request]) -> list[Outcome | SweepdError]:
        calls.append(len(requests))
        if len(calls) == 1:
            delete(requests[:1])  # the answer to its COMMIT was lost
            return [CatalogUnavailable("away")] * len(requests)
        return delete(requests)

    monkeypatch.setattr("daemon.jobs.batch._FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(engine, "delete_group", away)
    job_id = (await api.batch(*IDS[:3], **ASYNC)).body["data"]["job_id"]
    result = (await ended(api, job_id))["result"]
    assert calls == [3, 2]
    assert result["failed_tasks"] == []
    assert [(e["task_id"], e["directory_deleted"], e["deleted_files_count"]) for e in result["deleted_tasks"]] == [
        (task_id, True, 1) for task_id in IDS[:3]
    ]


async def test_what_waits_is_counted_and_logged_once(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in IDS[:3]:
        installation.task(task_id, 10)
    monkeypatch.setattr("daemon.jobs.batch._FIRST_WAIT_S", 0.01)
    away = installation.root.with_name("away")
    installation.root.rename(away)
    with logged() as log:
        job_id = (await api.batch(*IDS[:3], **ASYNC)).body["data"]["job_id"]
        while log.getvalue().count("job_waits") < 3:
            await asyncio.sleep(0.01)
        away.rename(installation.root)
        assert (await ended(api, job_id))["result"]["summary"]["successfully_deleted"] == 3
    finished = [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "deletion_finished"]
    assert [(line["task_ids"], line["outcome"]) for line in finished] == [([one], "success") for one in IDS[:3]]
    value = api.context.metrics.registry.get_sample_value
    asked = {
        ending: value("sweepd_deletions_total", {"trigger": "api", "outcome": ending})
        for ending in ("success", "refused", "failed")
    }
    assert asked == {"success": 3, "refused": 0, "failed": 0}
    assert value("sweepd_deletion_duration_seconds_count", {"trigger": "api"}) == 3


async def test_a_bug_ends_the_job_with_what_is_certain(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in IDS[:6]:
        installation.task(task_id, 10)
    monkeypatch.setattr("daemon.jobs.batch.GROUP", 4)
    engine, delete = api.context.engine, api.context.engine.delete_group

    def broken(requests: Sequence[Request]) -> list[Outcome | SweepdError]:
        if requests[0].task_id == "task_missing":
            return delete(requests)
        delete(requests[1:3])
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine, "delete_group", broken)
    monkeypatch.setattr("daemon.jobs.batch._FIRST_GROUP", 1)
    with logged() as log:
        job_id = (await api.batch("task_missing", *IDS[:6], **ASYNC)).body["data"]["job_id"]
        told = await events(api, job_id)
        job = await ended(api, job_id)
    assert job["state"] == "finished"
    result = job["result"]
    # the group after the first is task_000, task_001: of the latter the journal says that it is deleted
    assert [entry["task_id"] for entry in result["deleted_tasks"]] == [IDS[1]]
    assert [(entry["task_id"], entry["error_code"]) for entry in result["failed_tasks"]] == [
        ("task_missing", "TASK_NOT_FOUND"),
        (IDS[0], "INTERNAL_ERROR"),
    ]
    assert result["not_attempted"] == IDS[2:6]
    assert [row["task_id"] for row in installation.journal()] == [IDS[1]]
    tasks = {data["task_id"]: data["outcome"] for name, _, data in told if name == "task"}
    assert tasks == {
        "task_missing": "failed",
        IDS[0]: "failed",
        IDS[1]: "deleted",
        **dict.fromkeys(IDS[2:6], "not_attempted"),
    }
    assert sorted(int(number or 0) for name, number, _ in told if name == "task") == list(range(1, 8))
    assert (told[-1][0], told[-1][2]["state"]) == ("end", "finished")
    registry = api.context.metrics.registry
    assert registry.get_sample_value("sweepd_jobs_ended_total", {"state": "finished"}) == 1
    assert registry.get_sample_value("sweepd_jobs", {"state": "running"}) == 0
    written = [json.loads(line) for line in log.getvalue().splitlines()]
    [crashed] = [entry for entry in written if entry["event"] == "job_crashed"]
    assert crashed["job_id"] == job_id
    assert crashed["task_ids"] == [ascii(task_id) for task_id in IDS[:2]]
    assert "ZeroDivisionError: a bug" in crashed["exception"]
    [finished] = [entry for entry in written if entry["event"] == "job_finished"]
    assert (finished["deleted"], finished["failed"], finished["not_attempted"]) == (1, 2, 4)


async def test_a_bug_while_the_database_goes_away_ends_the_job_when_it_is_back(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.task(IDS[0], 10)
    tries = []

    def broken(_: Sequence[Request]) -> list[Outcome | SweepdError]:
        raise ZeroDivisionError("a bug")

    def away(catalog: Catalog, job_id: str, task_ids: Collection[str]) -> dict[str, Outcome | SweepdError]:
        tries.append(1)
        if len(tries) < 3:
            raise CatalogUnavailable("away")
        return recall(catalog, job_id, task_ids)

    monkeypatch.setattr("daemon.web.job_runner._RETRY_S", 0.01)
    monkeypatch.setattr("daemon.jobs.crash.recall", away)
    monkeypatch.setattr(api.context.engine, "delete_group", broken)
    with logged() as log:
        job_id = (await api.batch(IDS[0], **ASYNC)).body["data"]["job_id"]
        result = (await ended(api, job_id))["result"]
    written = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert [event for event in written if event in ("job_crashed", "job_waits")] == [
        "job_crashed",
        "job_waits",
        "job_waits",
    ]
    assert len(tries) == 3
    assert [entry["error_code"] for entry in result["failed_tasks"]] == ["INTERNAL_ERROR"]


async def test_too_many_jobs_and_listeners_are_told_to_come_back(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ServerConfig(max_waiting=2)
    async with serving(installation, server=server) as api, gated(api, monkeypatch):
        made = [(await api.batch("task_1", **ASYNC)).body["data"]["job_id"] for _ in range(2)]
        refused = await api.batch("task_1", **ASYNC)
        assert (refused.status, refused.body["error_code"]) == (429, "TOO_MANY_REQUESTS")
        assert refused.headers["Retry-After"] == "5"
        following: list[aiohttp.ClientResponse] = []
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"{api.base}{JOBS}/{made[0]}/events"
            for _ in range(MOST_LISTENERS):
                following.append(await session.get(url))
            busy = await api.ask("GET", f"{JOBS}/{made[0]}/events")
            assert (busy.status, busy.body["error_code"]) == (429, "TOO_MANY_REQUESTS")
            assert (await api.ask("GET", "/livez")).status == 200
            metrics = (await api.ask("GET", "/metrics")).raw.decode()
            assert f"sweepd_event_listeners {MOST_LISTENERS}.0" in metrics
            assert 'sweepd_jobs{state="running"} 2.0' in metrics
            for response in following:
                response.close()


async def test_events_go_on_when_the_database_is_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that was cut off would come back to a 503, and an EventSource not again after that."""
    job_id = (await ended(api, (await api.batch("task_missing", **ASYNC)).body["data"]["job_id"]))["job_id"]
    noted, tries = Journal.noted, []

    def away(journal: Journal, *rest: Any) -> list[JobTask]:
        tries.append(1)
        if len(tries) < 3:
            raise CatalogUnavailable("away")
        return noted(journal, *rest)

    monkeypatch.setattr(Journal, "noted", away)
    monkeypatch.setattr("daemon.web.events._EVERY_S", 0.01)
    assert [name for name, _, _ in await events(api, job_id)] == ["task", "progress", "end"]
    assert len(tries) == 3


@pytest.mark.parametrize(
    "error", [SweepdError("forgotten", code=ErrorCode.JOB_NOT_FOUND), ZeroDivisionError("a bug")], ids=["gone", "bug"]
)
async def test_events_that_cannot_go_on_are_cut_off(
    api: Api, monkeypatch: pytest.MonkeyPatch, events: list[Any], error: Exception
) -> None:
    """No second answer in the stream, and no end that looks like one."""
    job_id = (await ended(api, (await api.batch("task_missing", **ASYNC)).body["data"]["job_id"]))["job_id"]

    def gone(*_: Any) -> list[JobTask]:
        raise error

    monkeypatch.setattr(Journal, "noted", gone)
    async with api.session.get(f"{api.base}{JOBS}/{job_id}/events") as response:
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(response.read(), 10)
    [told] = [event for event in events if event["log_level"] == "error"]
    assert (told["event"], told["job_id"]) == ("events_cut_off", job_id)


async def test_a_shutdown_ends_the_streams(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async with gated(api, monkeypatch) as gate:
        job_id = (await api.batch("task_1", **ASYNC)).body["data"]["job_id"]
        following = asyncio.create_task(events(api, job_id))
        await gate.begun.wait()
        await api.until("sweepd_event_listeners 1.0")
        closing = asyncio.create_task(api.runner.cleanup())
        told = await asyncio.wait_for(following, 5)
    await closing
    assert [name for name, _, _ in told] == ["progress"]


async def test_a_job_is_forgotten_after_a_while(api: Api) -> None:
    job = await ended(api, (await api.batch("task_missing", **ASYNC)).body["data"]["job_id"])

    def forget(seconds: int) -> int:
        with api.context.catalog.write() as session:
            found = jobs.find(session.connection, job["job_id"])
            assert found is not None
            assert found.finished_at is not None
            return jobs.forget(session.connection, found.finished_at + timedelta(seconds=seconds))

    assert await asyncio.to_thread(forget, 0) == 0
    assert await asyncio.to_thread(forget, 1) == 1
    answer: Answer = await api.ask("GET", job["url"])
    assert (answer.status, answer.body["error_code"]) == (404, "JOB_NOT_FOUND")
