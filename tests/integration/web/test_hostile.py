"""Task ids and requests no decent client sends, byte by byte: always the envelope, never anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon.web.addresses import TASKS
from integration.web.installation import Api, Installation

TASK = "task_20250702_173932"
BODY = b'{"confirm": true, "force": true, "delete_database_records": true}'


def deletion(target: bytes) -> bytes:
    return (
        b"DELETE " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    )


@pytest.fixture
def precious(installation: Installation, tmp_path: Path) -> Path:
    """Something worth keeping, inside the root and beside it."""
    installation.task(TASK, 10)
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "kept").write_text("kept")
    return tmp_path


def everything(installation: Installation, folder: Path) -> Any:
    files = {str(path) for path in folder.rglob("*") if path.suffix not in (".sqlite3-wal", ".sqlite3-shm")}
    return files, installation.everything()


@pytest.mark.parametrize(
    "task_id",
    [
        b"..",
        b".",
        b"%2e%2e",
        b"%2E%2E%2F",
        b"a%2Fb",
        b"a/b",
        b"../beside",
        b"..%2fbeside",
        b"%2e%2e%2fbeside",
        b"../../../../etc",
        TASK.encode() + b"/../" + TASK.encode(),
        TASK.encode() + b"/",
        TASK.encode() + b"/below",
        TASK.encode() + b"%2Fbelow",
        TASK.encode() + b"%00",
        TASK.encode() + b"%0a",
        TASK.encode() + b"%20",
        TASK.encode() + b"%2500",
        TASK.encode() + b";x",
        b".sweepd",
        b"%2esweepd",
        b"",
        b"/",
        b"//",
        b"a%0Ab",
        b"a%0D%0Ab",
        b"%00",
        b"%ff%fe",
        b"%ed%a0%80",
        b"%e4%bb%bb%e5%8a%a1",
        b"%",
        b"{task_id}",
        b"*",
        b"~",
        b"a\\b",
        b"x" * 129,
        b"x" * 10_000,
        b"%2e" * 3_000,
    ],
)
async def test_a_hostile_id_is_an_invalid_id(
    api: Api, installation: Installation, precious: Path, task_id: bytes
) -> None:
    before = everything(installation, precious)
    answer = await api.raw(deletion(TASKS.encode() + b"/" + task_id))
    assert (answer.status, answer.body["error_code"]) == (400, "INVALID_TASK_ID")
    assert answer.body["message"] == "任务ID无效: 须为1到128个字母、数字、'.'、'_'或'-',且以字母或数字开头"
    assert "data" not in answer.body
    assert everything(installation, precious) == before


@pytest.mark.parametrize(
    "target",
    [
        TASKS.encode() + b"/a\x00b",
        TASKS.encode() + b"/a\nb",
        TASKS.encode() + b"/a\r\nb",
        TASKS.encode() + b"/a b",
        TASKS.encode() + b"/\xff\xfe",
        TASKS.encode() + b"/" + TASK.encode() + b"#fragment",
        TASKS.encode() + b"/" + TASK.encode() + b"#",
        TASKS.encode()[1:] + b"/" + TASK.encode(),
        TASKS.encode() + b"/" + b"x" * 100_000,
        b"*",
    ],
    ids=range(10),
)
async def test_a_malformed_target_is_a_bad_request(
    api: Api, installation: Installation, precious: Path, events: list[Any], target: bytes
) -> None:
    before = everything(installation, precious)
    answer = await api.raw(deletion(target))
    assert answer.status == 400
    assert answer.bare == {
        "success": False,
        "code": 400,
        "message": "请求格式错误",
        "error_code": "BAD_REQUEST",
    }
    assert everything(installation, precious) == before
    assert not [event for event in events if event["log_level"] == "error"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/", 404),
        (b"/api/v0/data_pipeline/../data_pipeline/tasks/" + TASK.encode(), 404),
        (b"/api/v0//data_pipeline/tasks/" + TASK.encode(), 404),
        (b"/api/v0/data_pipeline/tasks%2F" + TASK.encode(), 404),
        (b"/API/v0/data_pipeline/tasks/" + TASK.encode(), 404),
        (b"//localhost" + TASKS.encode() + b"/" + TASK.encode(), 404),
        (b"/livez", 405),
        (b"/metrics", 405),
    ],
)
async def test_another_address_deletes_nothing(
    api: Api, installation: Installation, precious: Path, target: bytes, status: int
) -> None:
    before = everything(installation, precious)
    answer = await api.raw(deletion(target))
    assert answer.status == status
    assert answer.body["error_code"] == {404: "ROUTE_NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}[status]
    assert everything(installation, precious) == before


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        b"DELETE / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + b"x" * 40_000 + b"\r\n\r\n",
        b"DELETE / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"DELETE / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["garbage", "tls", "version", "header-name", "header-size", "smuggling", "length"],
)
async def test_what_is_not_http(api: Api, events: list[Any], data: bytes) -> None:
    answer = await api.raw(data)
    assert (answer.status, answer.body["error_code"]) == (400, "BAD_REQUEST")
    [event] = [event for event in events if event["event"] == "request_malformed"]
    assert event["request_id"] == answer.headers["X-Request-Id"]
    assert "xxx" not in str(event)


async def test_an_unknown_expectation(api: Api, events: list[Any]) -> None:
    for path in ("/livez", "/nowhere"):
        answer = await api.raw(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: miracles\r\n\r\n".encode()
        )
        assert (answer.status, answer.body["error_code"]) == (417, "EXPECTATION_FAILED")
        assert events[-1]["request_id"] == answer.body["request_id"]


async def test_every_refusal_is_in_the_log_under_its_request_id(api: Api, events: list[Any]) -> None:
    for method, path in [("GET", "/nowhere"), ("PUT", TASKS), ("DELETE", f"{TASKS}/task_missing"), ("DELETE", TASKS)]:
        answer = await api.ask(method, path, json={"confirm": True})
        assert events[-1]["event"] == "request_refused"
        assert (events[-1]["error"], events[-1]["request_id"]) == (
            answer.body["error_code"],
            answer.body["request_id"],
        )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS"])
async def test_another_method(api: Api, installation: Installation, precious: Path, method: str) -> None:
    before = everything(installation, precious)
    answer = await api.ask(method, f"{TASKS}/{TASK}", json={"confirm": True})
    assert answer.status == 405
    assert answer.headers["Allow"] == "DELETE,GET,HEAD"
    assert answer.bare == {
        "success": False,
        "code": 405,
        "message": "不支持的请求方法",
        "error_code": "METHOD_NOT_ALLOWED",
    }
    assert everything(installation, precious) == before


async def test_reading_deletes_nothing(api: Api, installation: Installation, precious: Path) -> None:
    before = everything(installation, precious)
    for method in ("GET", "HEAD"):
        headers = {"X-HTTP-Method-Override": "DELETE"}
        for query, status in (("", 200), ("?confirm=true", 400)):
            answer = await api.ask(method, f"{TASKS}/{TASK}{query}", json={"confirm": True}, headers=headers)
            assert answer.status == status
    assert everything(installation, precious) == before


async def test_a_method_override_overrides_nothing(api: Api, installation: Installation, precious: Path) -> None:
    before = everything(installation, precious)
    headers = {"X-HTTP-Method-Override": "DELETE"}
    answer = await api.ask("POST", f"{TASKS}/{TASK}", json={"confirm": True}, headers=headers)
    assert answer.status == 405
    assert everything(installation, precious) == before


async def test_an_unknown_address(api: Api) -> None:
    answer = await api.ask("GET", "/nowhere", headers={"Accept-Language": "en"})
    assert answer.status == 404
    assert answer.bare == {
        "success": False,
        "code": 404,
        "message": "There is nothing at this address",
        "error_code": "ROUTE_NOT_FOUND",
    }
