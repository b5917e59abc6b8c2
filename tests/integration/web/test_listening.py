"""Where it listens: a Unix socket, TLS, and how many connections."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import ssl
import stat
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import support
from daemon.app.listening import listening, most_connections
from daemon.config import ServerConfig, TlsConfig
from daemon.errors import StartupRefused
from daemon.web.addresses import TASKS
from daemon.web.server import ApiRunner
from integration.web.installation import Api, Installation, serving

TASK = "task_20250702_173932"
CERTIFICATE, KEY = (Path(support.__file__).parent / "tls" / f"{name}.pem" for name in ("certificate", "key"))


def runner_of(api: Api) -> ApiRunner:
    assert isinstance(api.runner, ApiRunner)
    return api.runner


async def ask(path: Path, method: str = "GET", url: str = f"http://localhost{TASKS}", **options: Any) -> Any:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.request(method, url, **options) as response,
    ):
        return response.status, await response.json()


async def test_a_unix_socket_serves_and_says_who_asked(installation: Installation, tmp_path: Path) -> None:
    installation.task(TASK, 10)
    path = tmp_path / "sweepd.sock"
    async with serving(installation) as api:
        async with listening(runner_of(api), ServerConfig(tcp=False, socket=path)) as (address, _):
            assert address == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            status, _ = await ask(path, "DELETE", f"http://localhost{TASKS}/{TASK}", json={"confirm": True})
            assert status == 200
            status, body = await ask(path, url=f"http://evil.example{TASKS}")
            assert (status, body["error_code"]) == (403, "HOST_NOT_ALLOWED")
        assert not path.exists()
    assert installation.journal()[0]["initiator"] == f"api:unix:{os.getuid()}"


async def test_a_proxy_on_the_socket_is_believed_if_named(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "sweepd.sock"
    for trusted, owner in (((), f"api:unix:{os.getuid()}"), (("unix",), "api:203.0.113.9")):
        async with serving(installation, server=ServerConfig(trusted_proxies=trusted)) as api:
            async with listening(runner_of(api), ServerConfig(tcp=False, socket=path)):
                headers = {"X-Forwarded-For": "203.0.113.9"}
                sent = {"task_id": TASK, "reason": "an audit"}
                _, body = await ask(path, "POST", "http://localhost/api/v0/holds", json=sent, headers=headers)
                assert body["data"]["owner"] == owner


async def test_a_socket_that_nobody_listens_on_is_replaced_and_nothing_else(
    api: Api, tmp_path: Path, installation: Installation
) -> None:
    path = tmp_path / "sweepd.sock"
    server = ServerConfig(tcp=False, socket=path)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with listening(runner_of(api), server):
        assert (await ask(path))[0] == 200
        async with serving(installation) as other:
            with pytest.raises(StartupRefused, match="another process listens on it"):
                async with listening(runner_of(other), server):
                    pass
        assert (await ask(path))[0] == 200
    path.write_text("precious")
    with pytest.raises(StartupRefused, match="something else at that path"):
        async with listening(runner_of(api), server):
            pass
    assert path.read_text() == "precious"
    with pytest.raises(StartupRefused, match="No such file or directory"):
        async with listening(runner_of(api), ServerConfig(tcp=False, socket=tmp_path / "absent" / "s")):
            pass


async def test_https(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    server = ServerConfig(port=0, tls=TlsConfig(certificate=CERTIFICATE, key=KEY))
    trust = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with listening(runner_of(api), server) as (address, _):
        port = runner_of(api).addresses[-1][1]
        assert address.startswith("https://127.0.0.1:")
        url = f"https://127.0.0.1:{port}{TASKS}/{TASK}"
        async with api.session.delete(url, json={"confirm": True}, ssl=trust) as response:
            assert (response.status, json.loads(await response.read())["code"]) == (200, 200)
        old = ssl.create_default_context(cafile=str(CERTIFICATE))
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=old)


@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        (CERTIFICATE, CERTIFICATE, "both have to be PEM"),
        (KEY, KEY, "both have to be PEM"),
        (CERTIFICATE, Path("/nowhere/key.pem"), "server.tls.key: /nowhere/key.pem cannot be read: no such file"),
        (Path("/nowhere/cert.pem"), KEY, "server.tls.certificate: /nowhere/cert.pem cannot be read: no such file"),
    ],
)
async def test_files_that_are_no_certificate_and_key(api: Api, certificate: Path, key: Path, problem: str) -> None:
    with pytest.raises(StartupRefused, match=problem):
        async with listening(runner_of(api), ServerConfig(port=0, tls=TlsConfig(certificate=certificate, key=key))):
            pass


async def test_a_key_with_a_password_is_refused_not_asked_for(api: Api, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(ENCRYPTED)
    with pytest.raises(StartupRefused, match=r"server\.tls"):
        async with listening(runner_of(api), ServerConfig(port=0, tls=TlsConfig(certificate=CERTIFICATE, key=key))):
            pass


async def test_a_port_that_is_taken(api: Api) -> None:
    with pytest.raises(StartupRefused, match="to a free one"):
        async with listening(runner_of(api), ServerConfig(port=api.port)):
            pass


def test_there_are_no_more_connections_than_descriptors() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
        assert most_connections(ServerConfig()) == 512
        assert most_connections(ServerConfig(max_connections=100)) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


ENCRYPTED = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAihAGjxbSw+5wICA+gw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEG1wdz0G/4tG4fYYewE/614EgZCs
tmdlqf03rlDP4Ht5qvsIAp8z6hn6w+KT6nTENoq7x/sbaIE/lI/j6tbHcD0rN+FQ
mejhvy8Ncc9sPsP8jLSnrpjpc8Q6iqfuK7oTojwPL2lyYSpMG573ow+tOgPHJ4Ri
N3EKRv1lmPlrQib/YyvEGQtblRlM+g13lRNzFd34ghzbtFpwbKM3FI3Ug4Dj8fs=
-----END ENCRYPTED PRIVATE KEY-----
"""
