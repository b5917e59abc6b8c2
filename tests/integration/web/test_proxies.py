"""Who is believed about whom a request comes from."""

from __future__ import annotations

import pytest

from daemon.config import ServerConfig
from daemon.web.addresses import TASKS
from integration.web.installation import Installation, serving
from integration.web.test_tokens import ENTRIES, bearer

TASK = "task_20250702_173932"
TRUSTED = ("127.0.0.1", "10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        ((), ["203.0.113.9"], "127.0.0.1"),
        (("10.0.0.1",), ["203.0.113.9"], "127.0.0.1"),
        (("unix",), ["203.0.113.9"], "127.0.0.1"),
        (TRUSTED, [], "127.0.0.1"),
        (TRUSTED, ["203.0.113.9"], "203.0.113.9"),
        (TRUSTED, ["203.0.113.9:4711"], "203.0.113.9"),
        (TRUSTED, ["2001:DB8::9"], "2001:db8::9"),
        (TRUSTED, ["[2001:db8::9]:4711"], "2001:db8::9"),
        (TRUSTED, ["203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (TRUSTED, ["203.0.113.9", "10.1.2.3, fd00::1"], "203.0.113.9"),
        # what the client made up stands to the left of what the first trusted proxy saw
        (TRUSTED, ["127.0.0.1, 198.51.100.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (TRUSTED, ["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        (TRUSTED, ["203.0.113.9, nonsense"], "127.0.0.1"),
        (TRUSTED, ["203.0.113.9, nonsense, 10.1.2.3"], "10.1.2.3"),
        (TRUSTED, ["::ffff:203.0.113.9"], "203.0.113.9"),
        (TRUSTED, [","], "127.0.0.1"),
    ],
)
async def test_the_clients_address(
    installation: Installation, trusted: tuple[str, ...], forwarded: list[str], address: str
) -> None:
    async with serving(installation, server=ServerConfig(trusted_proxies=trusted)) as api:
        headers = [("X-Forwarded-For", value) for value in forwarded]
        body = {"task_id": TASK, "reason": "an audit"}
        answer = await api.ask("POST", "/api/v0/holds", json=body, headers=headers)
    assert answer.body["data"]["owner"] == f"api:{address}"


@pytest.mark.parametrize(
    ("trusted", "host", "status"),
    [
        (("127.0.0.1",), "sweepd.example.org", 200),
        (("127.0.0.1",), "sweepd.example.org, localhost", 200),
        (("127.0.0.1",), "evil.example", 403),
        (("127.0.0.1",), "sweepd.example.org, evil.example", 403),
        (("127.0.0.1",), "", 403),
        ((), "evil.example", 200),
    ],
)
async def test_the_host_that_a_trusted_proxy_was_asked_for(
    installation: Installation, trusted: tuple[str, ...], host: str, status: int
) -> None:
    server = ServerConfig(trusted_proxies=trusted, allowed_hosts=("sweepd.example.org",), tokens=ENTRIES)
    async with serving(installation, server=server) as api:
        answer = await api.ask("GET", TASKS, headers={**bearer("read"), "X-Forwarded-Host": host})
    assert answer.status == status
