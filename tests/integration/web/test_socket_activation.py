"""Sockets that systemd listens on for the daemon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp
import pytest

from daemon import systemd
from daemon.app.listening import check_address, handed_over, listening
from daemon.config import Config, ServerConfig
from daemon.errors import StartupRefused
from daemon.web.addresses import TASKS
from daemon.web.server import ApiRunner
from integration.web.installation import Installation, serving

PROJECT = Path(__file__).resolve().parents[3]
TOKEN = "0123456789abcdef"
# What a process does that systemd has started: the daemon's own code, in an interpreter that starts fast.
_PROGRAM = """
import json, os, sys
from daemon import systemd
os.environ["LISTEN_PID"] = sys.argv[1] or str(os.getpid())
found = systemd.inherited_sockets()
again = systemd.inherited_sockets()
print(json.dumps([[one.fileno(), one.getsockname()[1], one.get_inheritable(), one.gettimeout()] for one in found]
                 + [len(again), "LISTEN_FDS" in os.environ]))
"""


def activated(sockets: list[socket.socket], listen_pid: str = "") -> list[object]:
    """What a process sees that gets these as descriptors 3 and on."""

    def arrange() -> None:
        kept = [os.dup2(one.fileno(), 50 + index) for index, one in enumerate(sockets)]
        for index, fd in enumerate(kept):
            os.dup2(fd, systemd.FIRST_FD + index)

    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, listen_pid],
        preexec_fn=arrange,
        close_fds=False,
        env={"PYTHONPATH": str(PROJECT), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": "a:b"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_they_are_taken_once_and_go_to_no_child() -> None:
    with closing(_tcp()) as one, closing(_tcp()) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
        assert activated([one, other]) == [[3, ports[0], False, 0.0], [4, ports[1], False, 0.0], 0, False]


def test_those_of_another_process_are_left_alone() -> None:
    with closing(_tcp()) as one:
        assert activated([one], listen_pid="1") == [0, True]


def _tcp(host: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _config(**server: object) -> Config:
    return Config.model_validate({"file": "/etc/sweepd/config.yaml", "server": server})


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_one_that_others_reach_needs_a_token_whatever_the_configuration_names(host: str) -> None:
    with closing(_tcp(host)) as one:
        with pytest.raises(StartupRefused, match=r"sweepd.socket listens on .*anybody could delete"):
            check_address(_config(host="127.0.0.1"), [one])
        check_address(_config(tokens=[TOKEN]), [one])


def test_one_of_this_machine_needs_none_and_takes_the_place_of_what_is_configured(tmp_path: Path) -> None:
    with closing(_tcp()) as one, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "sweepd.sock"))
        other.listen()
        check_address(_config(host="0.0.0.0"), [one, other])
        check_address(_config(tcp=False), [one])
        with pytest.raises(StartupRefused, match="trusted_proxies"):
            check_address(_config(trusted_proxies=["unix"]), [other])


@contextmanager
def handing_over(monkeypatch: pytest.MonkeyPatch, made: socket.socket) -> Iterator[None]:
    with closing(made):
        monkeypatch.setattr(systemd, "inherited_sockets", lambda: [made])
        yield


@pytest.mark.parametrize(
    ("family", "kind"), [(socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET, socket.SOCK_STREAM)]
)
def test_what_is_no_listening_stream_is_refused(monkeypatch: pytest.MonkeyPatch, family: int, kind: int) -> None:
    made = socket.socket(family, kind)
    made.bind(("127.0.0.1", 0))  # but it does not listen
    with handing_over(monkeypatch, made), pytest.raises(StartupRefused, match=r"ListenStream=, and not Accept=yes"):
        handed_over()


def test_a_descriptor_that_is_no_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def inherited() -> list[socket.socket]:
        with Path("/dev/null").open("rb") as file:
            return [socket.socket(fileno=file.fileno())]

    monkeypatch.setattr(systemd, "inherited_sockets", inherited)
    with pytest.raises(StartupRefused, match="no socket"):
        handed_over()


async def test_both_kinds_are_served_and_outlive_the_daemon(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "sweepd.sock"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen()
    tcp = _tcp()
    port = tcp.getsockname()[1]
    configured = ServerConfig(port=1, socket=tmp_path / "another.sock")  # root could bind even that port
    async with serving(installation) as api:
        assert isinstance(api.runner, ApiRunner)
        # systemd keeps its own descriptors
        async with listening(api.runner, configured, [tcp.dup(), unix.dup()]) as (address, _):
            assert address == f"http://127.0.0.1:{port}"
            async with api.session.get(f"http://127.0.0.1:{port}{TASKS}") as response:
                assert response.status == 200
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
                session.get(f"http://localhost{TASKS}") as response,
            ):
                assert response.status == 200
            assert not (tmp_path / "another.sock").exists()
    assert path.exists()
    with closing(tcp), closing(unix), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass  # waits for the next daemon
