"""``DELETE /api/v0/data_pipeline/tasks/{task_id}``: every status code, and what is left on disk and in the rows."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog import tasks
from daemon.errors import ErrorCode, TaskRefused
from daemon.storage import trash
from integration.web.installation import NO_DATABASE, Api, Installation, serving

TASK = "task_20250702_173932"


async def test_the_contracts_example(api: Api, installation: Installation) -> None:
    installation.fifteen(TASK)
    installation.task("task_20250702_174521", 7)
    other = installation.rows()["task_20250702_174521"]
    answer = await api.delete(TASK, delete_database_records=False)
    [entry] = installation.journal()
    row = installation.rows()[TASK]
    stamp = str(row["updated_at"])[:19].replace(" ", "T")
    freed = answer.body["data"].pop("freed_bytes")
    assert freed >= 0
    assert answer.status == 200
    assert answer.body["data"]["deleted_at"] == stamp
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp)
    body = answer.body
    body["data"].pop("freed_bytes")
    assert body == {
        "success": True,
        "code": 200,
        "message": "任务目录删除成功",
        "data": {
            "task_id": TASK,
            "directory_deleted": True,
            "database_records_deleted": False,
            "deleted_files_count": 15,
            "deleted_size": "2.5 MB",
            "deleted_at": stamp,
            "deleted_bytes": 2_500_000,
            "deletion_id": entry["deletion_id"],
        },
    }
    assert row["directory_exists"] == 0
    assert installation.rows()["task_20250702_174521"] == other
    assert installation.tree() == {
        "task_20250702_174521",
        "task_20250702_174521/below",
        "task_20250702_174521/file-0",
    }
    assert (entry["trigger"], entry["initiator"]) == ("api", "api:127.0.0.1")


async def test_records_go_on_request(api: Api, installation: Installation) -> None:
    installation.task(TASK, 5)
    installation.step(TASK, "completed")
    answer = await api.delete(TASK, delete_database_records=True)
    assert answer.body["data"]["database_records_deleted"] is True
    assert answer.body["data"]["deleted_size"] == "5 B"
    assert (installation.tree(), installation.rows(), installation.steps()) == (set(), {}, [])


async def test_a_task_without_directory_is_brought_up_to_date(api: Api, installation: Installation) -> None:
    installation.row(TASK)
    first = (await api.delete(TASK)).body["data"]
    again = (await api.delete(TASK)).body["data"]
    assert (first["directory_deleted"], first["deleted_files_count"], first["deleted_size"]) == (False, 0, "0 B")
    assert again == {**first, "deletion_id": None}
    assert installation.rows()[TASK]["directory_exists"] == 0


async def test_an_unknown_task(api: Api) -> None:
    answer = await api.delete("task_invalid_id")
    assert answer.status == 404
    assert answer.bare == {
        "success": False,
        "code": 404,
        "message": "任务不存在: task_invalid_id",
        "error_code": "TASK_NOT_FOUND",
        "data": {"task_id": "task_invalid_id", "reason": "there is no task task_invalid_id"},
    }


async def test_an_orphan_goes_only_by_force(api: Api, installation: Installation) -> None:
    installation.files("manual_20250702_173932", 10)
    refused = await api.delete("manual_20250702_173932")
    assert (refused.status, refused.body["error_code"]) == (404, "TASK_NOT_FOUND")
    assert "force" in refused.body["data"]["reason"]
    assert "manual_20250702_173932/file-0" in installation.tree()
    forced = await api.delete("manual_20250702_173932", force=True, delete_database_records=True)
    assert forced.body["data"]["directory_deleted"] is True
    assert forced.body["data"]["database_records_deleted"] is False
    assert installation.tree() == set()


async def test_a_running_task_stays(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10, status="in_progress")
    before = installation.everything()
    answer = await api.delete(TASK)
    assert answer.status == 409
    assert answer.bare == {
        "success": False,
        "code": 409,
        "message": "任务正在运行中,无法删除",
        "error_code": "TASK_RUNNING",
        "data": {"task_id": TASK, "current_status": "in_progress"},
    }
    assert installation.everything() == before


async def test_a_task_with_a_running_step_stays(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    installation.step(TASK, "running")
    before = installation.everything()
    answer = await api.delete(TASK)
    assert (answer.status, answer.body["data"]) == (409, {"task_id": TASK, "current_status": "running"})
    assert installation.everything() == before


async def test_force_takes_a_running_task(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10, status="in_progress")
    assert (await api.delete(TASK, force=True)).status == 200
    assert installation.tree() == set()
    assert installation.rows()[TASK]["directory_exists"] == 0


async def test_a_link_is_refused(api: Api, installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("kept")
    installation.row(TASK)
    (installation.root / TASK).symlink_to(tmp_path / "elsewhere")
    before = installation.everything()
    answer = await api.delete(TASK, force=True)
    assert answer.status == 403
    assert answer.bare == {
        "success": False,
        "code": 403,
        "message": "任务目录不安全,拒绝删除",
        "error_code": "UNSAFE_DIRECTORY",
        "data": {
            "task_id": TASK,
            "reason": f"{TASK} in the storage root is a symbolic link; look at it and remove it by hand",
        },
    }
    assert installation.everything() == before
    assert (tmp_path / "elsewhere" / "precious").read_text() == "kept"


@pytest.mark.parametrize(
    ("number", "status", "code", "message"),
    [
        (errno.EACCES, 403, "PERMISSION_DENIED", "权限不足,无法删除"),
        (errno.ENAMETOOLONG, 500, "DELETION_FAILED", "删除操作失败"),
    ],
    ids=["permission", "other"],
)
async def test_a_failing_file_system_says_what_and_where(
    api: Api,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    status: int,
    code: str,
    message: str,
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number), TASK)

    installation.task(TASK, 10)
    before = installation.everything()
    monkeypatch.setattr(trash, "move", fail)
    answer = await api.delete(TASK)
    assert (answer.status, answer.body["error_code"], answer.body["message"]) == (status, code, message)
    data = answer.body["data"]
    assert (data["task_id"], data["path"], data["errno"]) == (TASK, TASK, errno.errorcode[number])
    assert "moving the task directory into the trash failed" in data["reason"]
    assert installation.everything() == before


async def test_a_task_that_changed_meanwhile(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_arguments: object, **_options: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "gone", TASK)

    installation.task(TASK, 10)
    before = installation.everything()
    monkeypatch.setattr(trash, "move", gone)
    answer = await api.delete(TASK)
    assert answer.status == 409
    assert (answer.body["error_code"], answer.body["message"]) == ("TASK_CHANGED", "任务状态已改变,未删除")
    assert installation.everything() == before


async def test_a_locked_task(api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_arguments: object, **_options: object) -> None:
        raise TaskRefused("the task's row is locked", code=ErrorCode.TASK_BUSY)

    installation.task(TASK, 10)
    before = installation.everything()
    monkeypatch.setattr(tasks, "lock", locked)
    answer = await api.delete(TASK)
    assert (answer.status, answer.headers["Retry-After"]) == (409, "5")
    assert answer.bare == {
        "success": False,
        "code": 409,
        "message": "任务正被占用,请稍后重试",
        "error_code": "TASK_BUSY",
        "data": {"reason": "the task's row is locked"},
    }
    assert installation.everything() == before


async def test_an_unmarked_root(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    (installation.root / ".sweepd" / "root.json").unlink()
    before = installation.everything()
    answer = await api.delete(TASK)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.bare == {
        "success": False,
        "code": 503,
        "message": "存储根目录不可用",
        "error_code": "ROOT_UNAVAILABLE",
    }
    assert installation.everything() == before


async def test_a_catalog_that_is_away(installation: Installation) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    async with serving(installation, url=NO_DATABASE) as api:
        for answer in (await api.delete(TASK), await api.listing()):
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert answer.bare == {
                "success": False,
                "code": 503,
                "message": "数据库不可用,请稍后重试",
                "error_code": "CATALOG_UNAVAILABLE",
            }
    assert installation.everything() == before


async def test_a_catalog_that_is_empty(installation: Installation, tmp_path: Path) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    (tmp_path / "empty.sqlite3").touch()
    async with serving(installation, url=f"sqlite:///{tmp_path}/empty.sqlite3") as api:
        for answer in (await api.delete(TASK), await api.listing()):
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert answer.bare == {
                "success": False,
                "code": 503,
                "message": "数据库尚未初始化,请先运行 sweepd init",
                "error_code": "CATALOG_NOT_READY",
            }
    assert installation.everything() == before


async def test_a_defect_tells_nothing_and_is_logged(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    def defect(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("secret of the inside")

    installation.task(TASK, 10)
    before = installation.everything()
    monkeypatch.setattr(tasks, "lock", defect)
    answer = await api.delete(TASK)
    assert answer.status == 500
    assert answer.bare == {
        "success": False,
        "code": 500,
        "message": "服务器内部错误",
        "error_code": "INTERNAL_ERROR",
    }
    [crash] = [event for event in events if event["event"] == "request_crashed"]
    assert isinstance(crash["exc_info"], RuntimeError)
    assert crash["request_id"] == answer.headers["X-Request-Id"]
    assert installation.everything() == before


async def test_the_request_id_is_in_the_engines_log(api: Api, installation: Installation, events: list[Any]) -> None:
    installation.task(TASK, 10)
    installation.task("task_20250702_174521", 10)
    answers = [await api.delete(TASK), await api.delete("task_20250702_174521")]
    logged = [event["request_id"] for event in events if event["event"] == "deletion_finished"]
    assert logged == [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(logged)) == 2


async def test_two_at_once_have_one_winner(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both get an answer, and exactly one of them says that it removed the directory."""
    meeting = threading.Barrier(2)
    check = api.context.engine.delete

    def together(request: Any) -> Any:
        meeting.wait(5)
        return check(request)

    installation.task(TASK, 10)
    monkeypatch.setattr(api.context.engine, "delete", together)
    answers = await asyncio.gather(api.delete(TASK), api.delete(TASK))
    assert [answer.status for answer in answers] == [200, 200]
    assert sorted(answer.body["data"]["directory_deleted"] for answer in answers) == [False, True]
    assert len(installation.journal()) == 1
