"""Who is let in: hosts, web pages, tokens."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from daemon.config import ServerConfig
from daemon.web.addresses import TASKS
from integration.web.installation import Api, Installation, serving

TASK = "task_20250702_173932"
TOKENS = ("first-token-of-sixteen", "other-token-of-sixteen")
EVERY = [("DELETE", f"{TASKS}/{TASK}"), ("DELETE", TASKS), ("GET", TASKS), ("GET", "/metrics"), ("GET", "/livez"),
         ("GET", "/readyz"), ("GET", "/nowhere")]  # fmt: skip


def sent(method: str, target: str, *headers: str, version: str = "1.1") -> bytes:
    body = '{"confirm": true}'
    lines = [f"{method} {target} HTTP/{version}", *headers, "Content-Type: application/json", "Connection: close"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()


@pytest.mark.parametrize(("method", "path"), EVERY)
async def test_a_foreign_host_is_refused_everywhere(
    api: Api, installation: Installation, events: list[Any], method: str, path: str
) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await api.raw(sent(method, path, "Host: evil.example"))
    assert answer.status == 403
    assert answer.bare == {
        "success": False,
        "code": 403,
        "message": "不允许的主机名,请检查 server.allowed_hosts",
        "error_code": "HOST_NOT_ALLOWED",
    }
    assert installation.everything() == before
    [refused] = [event for event in events if event["event"] == "request_refused"]
    assert (refused["error"], refused["request_id"]) == ("HOST_NOT_ALLOWED", answer.headers["X-Request-Id"])


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8084", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8084", "sweepd.example.org:99"]
)
async def test_a_known_host_is_served(installation: Installation, host: str) -> None:
    installation.task(TASK, 10)
    async with serving(installation, server=ServerConfig(allowed_hosts=("Sweepd.Example.org",))) as api:
        assert (await api.raw(sent("DELETE", f"{TASKS}/{TASK}", f"Host: {host}"))).status == 200
    assert installation.tree() == set()


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://evil.example{path}", "localhost", 403),
        ("http://evil.example:80{path}", "localhost", 403),
        ("http://localhost{path}", "evil.example", 403),
        ("http://evil@localhost{path}", "localhost", 403),
        ("http://localhost@evil.example{path}", "localhost", 403),
        ("ftp://evil.example{path}", "localhost", 403),
        ("http://localhost:8084{path}", "localhost", 200),
        ("http://[::1]:8084{path}", "127.0.0.1:8084", 200),
        ("//evil.example{path}", "localhost", 404),
        ("http:///{path}", "localhost", 400),
    ],
)
async def test_an_absolute_target_does_not_override_the_host(
    api: Api, installation: Installation, target: str, host: str, status: int
) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await api.raw(sent("DELETE", target.format(path=f"{TASKS}/{TASK}"), f"Host: {host}"))
    assert answer.status == status
    assert (installation.everything() == before) is (status != 200)


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [
        ([], "1.1", 400),
        ([], "1.0", 403),
        (["Host: localhost", "Host: evil.example"], "1.1", 400),
        (["Host: localhost", "Host: localhost"], "1.1", 400),
        (["Host: "], "1.1", 403),
        (["Host: localhost, evil.example"], "1.1", 403),
        (["Host: localhost.evil.example"], "1.1", 403),
        (["Host: localhost/"], "1.1", 403),
        (["Host: ::1"], "1.1", 403),
    ],
)
async def test_a_missing_repeated_or_odd_host(
    api: Api, installation: Installation, hosts: list[str], version: str, status: int
) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await api.raw(sent("DELETE", f"{TASKS}/{TASK}", *hosts, version=version))
    assert answer.status == status
    assert installation.everything() == before


@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://evil.example",
        "Origin: http://localhost:8084",
        "Origin: null",
        "Origin: ",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site",
    ],
)
async def test_web_pages_are_refused(api: Api, installation: Installation, header: str) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    answer = await api.raw(sent("DELETE", f"{TASKS}/{TASK}", "Host: localhost", header))
    assert answer.status == 403
    assert answer.bare == {
        "success": False,
        "code": 403,
        "message": "不允许来自网页的跨站请求",
        "error_code": "ORIGIN_NOT_ALLOWED",
    }
    assert installation.everything() == before
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_a_typed_address_is_served(api: Api, site: str) -> None:
    assert (await api.ask("GET", TASKS, headers={"Sec-Fetch-Site": site})).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        ["Bearer wrong-token-of-sixteen"],
        ["Bearer "],
        ["Bearer"],
        [TOKENS[0]],
        [f"Basic {TOKENS[0]}"],
        [f"Bearer {TOKENS[0]}x"],
        [f"Bearer {TOKENS[0]}, Bearer {TOKENS[0]}"],
        [f"Bearer {TOKENS[0]}", f"Bearer {TOKENS[0]}"],
        ["Bearer \u4efb\u52a1"],
    ],
)
async def test_without_a_token_nothing_is_served(installation: Installation, authorization: list[str]) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    server = ServerConfig(tokens=tuple(SecretStr(token) for token in TOKENS))
    headers = [f"Authorization: {value}" for value in authorization]
    challenge = 'Bearer realm="sweepd"'
    if len(authorization) == 1 and authorization[0].strip().startswith("Bearer "):
        challenge += ', error="invalid_token", error_description="unknown or revoked"'
    async with serving(installation, server=server) as api:
        for method, path in EVERY:
            answer = await api.raw(sent(method, path, "Host: localhost", *headers))
            if path in ("/livez", "/readyz"):
                assert answer.status == 200
            elif len(authorization) > 1 and answer.status == 400:
                continue  # aiohttp takes no second Authorization header at all
            else:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == challenge
                assert answer.bare == {
                    "success": False,
                    "code": 401,
                    "message": "缺少有效的访问令牌",
                    "error_code": "UNAUTHORIZED",
                }
    assert installation.everything() == before


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_any_token_opens(installation: Installation, token: str, scheme: str) -> None:
    installation.task(TASK, 10)
    server = ServerConfig(tokens=tuple(SecretStr(token) for token in TOKENS))
    headers = {"Authorization": f"{scheme} {token}"}
    async with serving(installation, server=server) as api:
        assert (await api.ask("GET", TASKS, headers=headers)).status == 200
        assert (await api.ask("GET", "/metrics", headers=headers)).status == 200
        assert (await api.ask("GET", "/nowhere", headers=headers)).status == 404
        done = await api.ask("DELETE", f"{TASKS}/{TASK}", headers=headers, json={"confirm": True})
        assert done.status == 200
    assert installation.tree() == set()
