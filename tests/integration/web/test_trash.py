"""Deletions that can be undone, by HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from yarl import URL

from daemon.storage.census import Census
from daemon.web.addresses import PURGES, TASKS, TRASH
from integration.web.installation import Api, Installation

TASK = "task_20250702_174000"


async def restore(api: Api, task_id: str, **body: object) -> Any:
    return await api.ask("POST", URL(f"{api.base}{TASKS}/{task_id}/restore", encoded=True), json=body or None)


@pytest.mark.parametrize("records", [False, True], ids=["directory", "with-records"])
async def test_what_is_retained_waits_and_comes_back(api: Api, installation: Installation, records: bool) -> None:
    installation.fifteen(TASK)
    installation.step(TASK, "completed")
    before = (installation.tree(), installation.rows(), installation.steps())
    deleted = (await api.delete(TASK, retain="7d", delete_database_records=records)).body["data"]
    assert deleted["directory_deleted"] is True
    assert deleted["database_records_deleted"] is records
    assert (deleted["deleted_files_count"], deleted["deleted_size"]) == (15, "2.5 MB")
    assert deleted["freed_bytes"] == 0, "what waits frees nothing"
    assert deleted["retained_until"] > deleted["deleted_at"]
    assert not (installation.root / TASK).exists()

    [waiting] = (await api.ask("GET", TRASH)).body["data"]["deletions"]
    assert (waiting["task_id"], waiting["deletion_id"]) == (TASK, deleted["deletion_id"])
    assert (waiting["files"], waiting["size_bytes"]) == (15, 2_500_000)
    assert waiting["retained_until"] == deleted["retained_until"]

    answer = await restore(api, TASK)
    assert (answer.status, answer.body["message"]) == (200, "任务恢复成功")
    assert answer.body["data"] == {
        "task_id": TASK,
        "restored": [
            {
                "deletion_id": deleted["deletion_id"],
                "directory_restored": True,
                "database_records_restored": records,
            }
        ],
    }
    assert installation.rows() == before[1]
    assert installation.steps() == before[2]
    assert before[0] <= installation.tree()
    assert (await api.ask("GET", TRASH)).body["data"] == {"deletions": [], "total": 0}


async def test_a_deletion_is_named_by_its_id(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    installation.task("another", 10)
    deletion_id = (await api.delete(TASK, retain="1h")).body["data"]["deletion_id"]
    wrong = await restore(api, "another", deletion_id=deletion_id)
    assert (wrong.status, wrong.body["error_code"]) == (404, "DELETION_NOT_FOUND")
    assert (await restore(api, TASK, deletion_id=deletion_id)).status == 200
    again = await restore(api, TASK, deletion_id=deletion_id)
    assert (again.status, again.body["error_code"]) == (409, "NOT_RESTORABLE")
    assert again.body["data"]["state"] == "restored"


async def test_a_name_that_is_taken_is_a_conflict_and_nothing_is_lost(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    await api.delete(TASK, retain="1h")
    installation.files(TASK, 20)
    before = installation.everything()
    answer = await restore(api, TASK)
    assert (answer.status, answer.body["error_code"]) == (409, "RESTORE_CONFLICT")
    assert "its name in the storage root is taken" in answer.body["data"]["reason"]
    assert installation.everything() == before


async def test_what_was_not_retained_cannot_come_back(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    await api.delete(TASK)
    for task_id in (TASK, "task_never"):
        answer = await restore(api, task_id)
        assert (answer.status, answer.body["error_code"]) == (409, "NOT_RESTORABLE")


async def test_a_batch_is_retained_as_a_whole(api: Api, installation: Installation) -> None:
    names = [f"task_{number}" for number in range(5)]
    for name in names:
        installation.task(name, 10)
    data = (await api.batch(*names, retain="2d12h")).body["data"]
    assert {entry["task_id"] for entry in data["deleted_tasks"]} == set(names)
    assert all(entry["retained_until"] for entry in data["deleted_tasks"])
    assert data["summary"]["freed_bytes"] == 0
    for name in names:
        assert (await restore(api, name)).status == 200
    assert {row["directory_exists"] for row in installation.rows().values()} == {1}


@pytest.mark.parametrize("retain", ["7", "0d", "-1d", "7 days", 7, True, ["7d"], ""], ids=repr)
async def test_a_duration_needs_a_unit(api: Api, installation: Installation, retain: object) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await api.delete(TASK, retain=retain)
    assert answer.status == 400
    assert answer.body["message"] == "参数错误: retain 必须为带单位的时长,例如 7d、12h 或 1d12h"
    assert installation.everything() == before


@pytest.mark.parametrize("task_id", ["..%2f..%2fetc", ".sweepd", "%2e%2e", "a%2Fb"])
async def test_a_hostile_id_is_refused(api: Api, installation: Installation, task_id: str) -> None:
    before = installation.everything()
    answer = await restore(api, task_id)
    assert (answer.status, answer.body["error_code"]) == (400, "INVALID_TASK_ID")
    assert installation.everything() == before


async def test_a_restore_takes_nothing_else(api: Api) -> None:
    answer = await restore(api, TASK, force=True)
    assert (answer.status, answer.body["error_code"]) == (400, "UNKNOWN_PARAMETER")
    answer = await restore(api, TASK, deletion_id=7)
    assert answer.body["message"] == "参数错误: deletion_id 必须为字符串"


async def test_a_purge_under_way_says_how_far_it_is(api: Api) -> None:
    assert (await api.ask("GET", PURGES)).body["data"] == {"purges": []}
    with api.context.purges.watch([TASK], [Census(10, 2, 1000, 4096)]):
        [purge] = (await api.ask("GET", PURGES)).body["data"]["purges"]
    assert (purge["task_ids"], purge["files_total"], purge["bytes_total"]) == ([TASK], 10, 1000)
    assert (purge["files_done"], purge["bytes_done"]) == (0, 0)
