"""What a deletion refuses to understand: nothing is touched, and the answer says what is wrong."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from typing import Any

import pytest

from daemon.web import body as body_reader
from daemon.web.addresses import TASKS
from integration.web.installation import Api, Installation

TASK = "task_20250702_173932"
JSON = {"Content-Type": "application/json"}


async def refuse(api: Api, installation: Installation, **options: Any) -> tuple[int, dict[str, Any]]:
    """The answer to a deletion of TASK that must not happen."""
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await api.ask("DELETE", f"{TASKS}/{TASK}", **options)
    assert installation.everything() == before
    return answer.status, answer.bare


@pytest.mark.parametrize("body", [b"{}", b'{"confirm": null}', b'{"force": true}', b""])
async def test_confirm_is_required(api: Api, installation: Installation, body: bytes) -> None:
    assert await refuse(api, installation, data=body, headers=JSON) == (
        400,
        {
            "success": False,
            "code": 400,
            "message": "缺少必需参数: confirm",
            "error_code": "MISSING_PARAMETER",
            "missing_params": ["confirm"],
        },
    )


async def test_no_body_at_all_lacks_the_confirmation(api: Api, installation: Installation) -> None:
    status, body = await refuse(api, installation)
    assert (status, body["missing_params"]) == (400, ["confirm"])


@pytest.mark.parametrize("value", [False, 1, 1.0, 0, "true", "yes", [True], {"confirm": True}])
async def test_only_true_confirms(api: Api, installation: Installation, value: object) -> None:
    assert await refuse(api, installation, json={"confirm": value}) == (
        400,
        {
            "success": False,
            "code": 400,
            "message": "参数错误: confirm 必须为 true",
            "error_code": "INVALID_PARAMETER",
            "data": {"parameter": "confirm"},
        },
    )


@pytest.mark.parametrize("name", ["force", "delete_database_records"])
@pytest.mark.parametrize("value", ["false", 0, 1, None, [], "true"])
async def test_booleans_are_booleans(api: Api, installation: Installation, name: str, value: object) -> None:
    status, body = await refuse(api, installation, json={"confirm": True, name: value})
    assert (status, body["error_code"], body["message"]) == (
        400,
        "INVALID_PARAMETER",
        f"参数错误: {name} 必须为布尔值 true 或 false",
    )


@pytest.mark.parametrize("value", [[], "task_1", [1], [None], {"0": "a"}, [["a"]], 5])
async def test_task_ids_are_a_list_of_strings(api: Api, value: object) -> None:
    answer = await api.ask("DELETE", TASKS, json={"task_ids": value, "confirm": True})
    assert (answer.status, answer.body["message"]) == (400, "参数错误: task_ids 必须为非空的字符串数组")


@pytest.mark.parametrize("name", ["dry_run", "Confirm", "task_ids", "continue_on_error"])
async def test_an_unknown_key_never_deletes(api: Api, installation: Installation, name: str) -> None:
    assert await refuse(api, installation, json={"confirm": True, name: True}) == (
        400,
        {
            "success": False,
            "code": 400,
            "message": f"未知参数: {name}",
            "error_code": "UNKNOWN_PARAMETER",
            "unknown_params": [name],
        },
    )


@pytest.mark.parametrize("query", ["dry_run=true", "dry_run", "=", "&"])
async def test_a_query_never_deletes(api: Api, installation: Installation, query: str) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    for path in (f"{TASKS}/{TASK}", TASKS):
        answer = await api.ask("DELETE", f"{path}?{query}", json={"task_ids": [TASK], "confirm": True})
        assert (answer.status, answer.body["error_code"]) == (400, "UNKNOWN_PARAMETER")
    assert installation.everything() == before


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"confirm": true,}',
        b'{"confirm": false, "confirm": true}',
        b'{"confirm": true, "force": NaN}',
        b'{"confirm": true, "force": -Infinity}',
        b'{"confirm": true, "force": 1e999}',
        b'{"confirm": true, "force": ' + b"9" * 5000 + b"}",
        b'{"confirm": true, "force": "\\ud800"}',
        b'{"confirm": true, "force": "\xff"}',
        b"[true]",
        b"true",
        b"null",
        b"confirm=true",
        b"[" * 500_000,
        b'{"a":' * 150_000,
        b'{"confirm": true}{}',
        '\ufeff{"confirm": true}'.encode(),
        '{"confirm": true}'.encode("utf-16"),
    ],
    ids=range(18),
)
async def test_what_is_not_a_json_object(api: Api, installation: Installation, body: bytes) -> None:
    status, answer = await refuse(api, installation, data=body, headers=JSON)
    assert (status, answer["error_code"]) == (400, "INVALID_BODY")
    assert answer["message"] == "请求体不是有效的JSON对象"
    assert answer["data"]["reason"]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/json, text/plain", ""]
)
async def test_another_media_type(api: Api, installation: Installation, media_type: str) -> None:
    body = json.dumps({"confirm": True}).encode()
    assert await refuse(api, installation, data=body, headers={"Content-Type": media_type}) == (
        415,
        {
            "success": False,
            "code": 415,
            "message": "Content-Type 必须为 application/json",
            "error_code": "UNSUPPORTED_MEDIA_TYPE",
        },
    )


async def test_no_media_type(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await api.raw(
        f"DELETE {TASKS}/{TASK} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        'Content-Length: 17\r\n\r\n{"confirm": true}'.encode()
    )
    assert (answer.status, answer.body["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert installation.everything() == before


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
async def test_a_charset_is_fine(api: Api, installation: Installation, media_type: str) -> None:
    installation.task(TASK, 10)
    answer = await api.ask("DELETE", f"{TASKS}/{TASK}", data=b'{"confirm": true}', headers={"Content-Type": media_type})
    assert answer.status == 200
    assert installation.tree() == set()


async def test_a_compressed_body(api: Api, installation: Installation) -> None:
    body = gzip.compress(b'{"confirm": true}')
    headers = {**JSON, "Content-Encoding": "gzip"}
    status, answer = await refuse(api, installation, data=body, headers=headers)
    assert (status, answer["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_over_the_limit(api: Api, installation: Installation) -> None:
    filler = b" " * (body_reader.MAX_BODY - len(b'{"confirm": true}') + 1)
    assert await refuse(api, installation, data=io.BytesIO(filler + b'{"confirm": true}'), headers=JSON) == (
        413,
        {
            "success": False,
            "code": 413,
            "message": "请求体过大,最多 1048576 字节",
            "error_code": "BODY_TOO_LARGE",
        },
    )


async def test_a_body_at_the_limit(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    body = b'{"confirm": true}'.rjust(body_reader.MAX_BODY)
    assert (await api.ask("DELETE", f"{TASKS}/{TASK}", data=body, headers=JSON)).status == 200


async def test_a_body_that_does_not_arrive(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_reader, "BODY_TIMEOUT_S", 0.05)
    installation.task(TASK, 10)
    before = installation.everything()
    head = f"DELETE {TASKS}/{TASK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f'{head}Content-Length: 100\r\n\r\n{{"confirm": true}}'.encode())
    assert (await reader.readline()).split(b" ")[1] == b"408"
    writer.close()
    assert installation.everything() == before


async def test_a_body_cut_off(api: Api, installation: Installation, events: list[Any]) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    head = f"DELETE {TASKS}/{TASK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f'{head}Content-Length: 100\r\n\r\n{{"confirm": true}}'.encode())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    assert (await api.ask("GET", "/livez")).status == 200
    assert installation.everything() == before
    assert not [event for event in events if event["event"] == "request_crashed"]


async def test_broken_chunks(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    head = f"DELETE {TASKS}/{TASK} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    answer = await api.raw(f"{head}Transfer-Encoding: chunked\r\n\r\nZZ\r\n{{\r\n".encode())
    assert (answer.status, answer.body["error_code"]) == (400, "BAD_REQUEST")
    assert installation.everything() == before
