"""Lists by cursor, one task, the audit trail and the storage's use through the client, in front of the real API."""

from __future__ import annotations

import pytest

from daemon.cli.exits import Exit
from daemon.client import Client, InvalidRequest, NotFound
from integration.web.installation import Api, Installation
from integration.web.remote import Sweepd, ask

TASK = "task_20250702_173932"


async def test_pages_by_cursor_miss_nothing_while_the_list_changes(api: Api, installation: Installation) -> None:
    for number in range(6):
        installation.row(f"task_{number}", created_at=f"2025-07-02 17:39:3{number}")

    def run(client: Client) -> list[str]:
        found = []
        for task in client.tasks(page_size=2):
            found.append(task["task_id"])
            if len(found) == 2:
                installation.row("task_newer", created_at="2025-08-01 00:00:00")
        return found

    assert await ask(api, run) == [f"task_{number}" for number in reversed(range(6))]


async def test_every_filter_reaches_the_daemon(api: Api, installation: Installation) -> None:
    installation.row("task_1", by_user="alice", db_name="sales", task_name="nightly")
    installation.row("task_2", status="failed", by_user="alice", db_name="sales")
    installation.row("task_3", status="pending", by_user="bob", db_name="hr", directory_exists=False)

    def run(client: Client) -> None:
        def found(**filters: object) -> set[str]:
            return {task["task_id"] for task in client.tasks(**filters)}  # type: ignore[arg-type]

        assert found(status=["completed", "failed"]) == {"task_1", "task_2"}
        assert found(status="pending") == {"task_3"}
        assert found(user="alice", database="sales") == {"task_1", "task_2"}
        assert found(directory_exists=False) == {"task_3"}
        assert found(q="nightly") == {"task_1"}
        assert found(older_than="1d") == {"task_1", "task_2", "task_3"}
        assert [task["task_id"] for task in client.tasks(sort="task_id")] == ["task_1", "task_2", "task_3"]
        with pytest.raises(InvalidRequest):
            found(sort="nothing")

    await ask(api, run)


async def test_who_deleted_what_and_why(api: Api, installation: Installation, sweepd: Sweepd) -> None:
    installation.task(TASK, 10)
    installation.task("task_2", 10)

    def run(client: Client) -> None:
        done = client.delete(TASK, reason="no longer needed", retain="7d")
        client.delete("task_2")
        assert [one["task_id"] for one in client.deletions(page_size=1)] == ["task_2", TASK]
        [one] = client.deletions(task_id=TASK)
        assert (one["deletion_id"], one["reason"]) == (done["deletion_id"], "no longer needed")
        task = client.task(TASK)
        assert task["task"]["directory_exists"] is False
        assert [deletion["deletion_id"] for deletion in task["deletions"]] == [done["deletion_id"]]
        assert client.storage()["trash"]["deletions"] == 1
        with pytest.raises(NotFound):
            client.task("task_missing")

    await ask(api, run)
    installation.task("task_3", 10)
    assert await sweepd(api, "delete", "--yes", "--reason", "a mistake", "task_3") == Exit.OK
    assert [one["reason"] for one in await ask(api, lambda client: list(client.deletions(task_id="task_3")))] == [
        "a mistake"
    ]
