"""Jobs through the client and the command line, in front of the real API."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from daemon.cli.exits import Exit
from daemon.client import Client, Conflict, NotFound
from integration.web.installation import Api, Installation
from integration.web.remote import Sweepd, ask

IDS = [f"task_20250702_17393{number}" for number in range(4)]


class Gate:
    """The engine waits before each group until it is ``open``; ``reached`` once it does."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        engine, delete_group = api.context.engine, api.context.engine.delete_group

        def slow(requests: Any) -> Any:
            self.reached.set()
            assert self.open.wait(30)
            return delete_group(requests)

        monkeypatch.setattr(engine, "delete_group", slow)


def left(installation: Installation) -> set[str]:
    return {path.name for path in installation.root.iterdir()} - {".sweepd"}


async def test_a_job_from_its_beginning_to_its_end(api: Api, installation: Installation) -> None:
    for task_id in IDS[:3]:
        installation.task(task_id, 10)
    installation.task(IDS[3], 10, status="in_progress")

    def run(client: Client) -> None:
        job = client.delete_async(IDS, retain="7d")
        events = list(client.events(job["job_id"]))
        told = {event.data["task_id"]: event.data["outcome"] for event in events if event.kind == "task"}
        assert told == {**dict.fromkeys(IDS[:3], "deleted"), IDS[3]: "failed"}
        assert (events[-1].kind, events[-1].data["state"]) == ("end", "finished")
        last = [event.data for event in events if event.kind == "progress"][-1]
        assert (last["tasks_total"], last["tasks_done"], last["deleted"], last["failed"]) == (4, 4, 3, 1)
        result = client.wait(job["job_id"], timeout=10)["result"]
        assert result is not None
        assert [one["task_id"] for one in result["deleted_tasks"]] == IDS[:3]
        assert result["failed_tasks"][0]["hint"].startswith("Try again when it has ended")
        # those after one that was had, and nothing after the last
        assert [event.id for event in client.events(job["job_id"], after="2") if event.kind == "task"] == ["3", "4"]
        assert list(client.events(job["job_id"], after=events[-1].id)) == []
        with pytest.raises(Conflict) as caught:
            client.cancel(job["job_id"])
        assert caught.value.error_code == "JOB_ENDED"
        with pytest.raises(NotFound):
            client.job("0" * 28)

    await ask(api, run)
    assert left(installation) == {IDS[3]}


async def test_one_task_as_a_job_and_the_same_key_twice(api: Api, installation: Installation) -> None:
    installation.task(IDS[0], 10)

    def run(client: Client) -> None:
        job = client.delete_async(IDS[0], key="mine")
        assert client.delete_async(IDS[0], key="mine")["job_id"] == job["job_id"]
        assert client.wait(job["job_id"])["kind"] == "task"
        assert [one["job_id"] for one in client.jobs(page_size=1)] == [job["job_id"]]

    await ask(api, run)
    assert len(installation.journal()) == 1


async def test_every_job_is_met_once_the_newest_first(api: Api, installation: Installation) -> None:
    for task_id in IDS:
        installation.task(task_id, 10)

    def run(client: Client) -> None:
        begun = [client.wait(client.delete_async(task_id)["job_id"])["job_id"] for task_id in IDS]
        assert [job["job_id"] for job in client.jobs(page_size=1)] == begun[::-1]
        assert [job["job_id"] for job in client.jobs(page_size=3, state="finished")] == begun[::-1]
        assert list(client.jobs(state="running")) == []

    await ask(api, run)


async def test_a_deletion_repeated_under_its_key_gets_the_first_answer(api: Api, installation: Installation) -> None:
    installation.task(IDS[0], 10, 10)
    first = await ask(api, lambda client: client.delete(IDS[0], key="mine"))
    again = await ask(api, lambda client: client.delete(IDS[0], key="mine"))
    assert again == first
    assert again["directory_deleted"] is True
    assert len(installation.journal()) == 1


async def test_what_has_not_begun_is_cancelled(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in IDS:
        installation.task(task_id, 10)
    gate = Gate(api, monkeypatch)

    def run(client: Client) -> str:
        job = client.delete_async(IDS, continue_on_error=False)  # one by one
        assert gate.reached.wait(10)
        client.cancel(job["job_id"])
        gate.open.set()
        return client.wait(job["job_id"], timeout=20)["state"]

    assert await ask(api, run) == "cancelled"
    assert left(installation) == set(IDS[1:])


async def test_the_command_line_shows_a_batch_as_a_job(api: Api, installation: Installation, sweepd: Sweepd) -> None:
    installation.task(IDS[0], 1000)
    installation.task(IDS[1], 10, status="in_progress")
    assert await sweepd(api, "delete", "--yes", IDS[0], IDS[1]) == Exit.NOT_DELETED
    assert f"{IDS[0]}: deleted 1 files, 1.0 KB" in sweepd.out
    assert f"{IDS[1]}: The task is running and cannot be deleted: Try again when it has ended" in sweepd.out
    assert "1 of 2 deleted, 1 failed, 0 not attempted" in sweepd.out


async def test_a_job_is_begun_left_found_and_followed(api: Api, installation: Installation, sweepd: Sweepd) -> None:
    installation.task(IDS[0], 10)
    assert await sweepd(api, "delete", "--yes", "--no-wait", IDS[0]) == Exit.OK
    job_id = sweepd.out.split()[1]
    assert sweepd.out == (f"job {job_id} has begun; follow it: sweepd --server {api.base} jobs {job_id} --follow\n")
    assert await sweepd(api, "jobs", job_id, "--follow", "--json") == Exit.OK
    assert (sweepd.json["state"], sweepd.json["result"]["deleted_tasks"][0]["task_id"]) == ("finished", IDS[0])
    assert await sweepd(api, "jobs", job_id, "--follow") == Exit.OK
    assert f"{IDS[0]}: deleted 1 files" in sweepd.out
    assert await sweepd(api, "jobs", job_id) == Exit.OK
    assert "1 of 1 tasks done, 0 failed" in sweepd.out
    assert await sweepd(api, "jobs") == Exit.OK
    assert sweepd.out.splitlines()[1].split("\t")[:3] == [job_id, "finished", "1 of 1"]
    assert await sweepd(api, "jobs", "--state", "queued", "--json") == Exit.OK
    assert sweepd.json == {"jobs": []}
    assert await sweepd(api, "jobs", job_id, "--cancel") == Exit.NOT_DELETED
    assert "nothing left to cancel" in sweepd.err
    assert await sweepd(api, "jobs", "0" * 28) == Exit.USAGE
    assert await sweepd(api, "jobs", "--follow") == Exit.USAGE


async def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task_id in IDS[:2]:
        installation.task(task_id, 10)
    gate = Gate(api, monkeypatch)
    command = [sys.executable, "-m", "daemon", "--server", api.base, "delete", "--yes", *IDS[:2]]

    def run() -> tuple[int, str]:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert gate.reached.wait(30)
            assert process.stdout.readline().startswith("job ")
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        return process.returncode, said

    status, said = await asyncio.to_thread(run)
    assert status == Exit.INTERRUPTED, said
    job_id = said.split()[2]
    assert said == (
        f"sweepd: job {job_id} goes on. Follow it: sweepd --server {api.base} jobs {job_id} --follow."
        f" Cancel the rest: sweepd --server {api.base} jobs {job_id} --cancel\n"
    )
    gate.open.set()
    assert (await ask(api, lambda client: client.wait(job_id, timeout=30)))["progress"]["deleted"] == 2
    assert left(installation) == set()
