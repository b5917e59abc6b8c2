"""Tokens and the Unix socket with the real process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from support import curl
from support.daemons import TASKS, Installation
from support.trees import fill


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3")
    made.init()
    server = "{port: 0, socket: sweepd.sock, tokens_file: tokens.yaml}"
    made.config.write_text(made.config.read_text().replace("{port: 0}", server))
    return made


def test_a_token_opens_a_running_daemon_until_it_is_revoked(site: Installation) -> None:
    done = site.run("run", check=False)
    assert done.returncode == 3, "there is no token file yet"
    assert "tokens.yaml" in done.stderr
    made = json.loads(site.run("token", "create", "ci", "--scope", "read", "--scope", "delete", "--json").stdout)
    fill(site.root / "task_orphan", 3)
    with site.daemon() as daemon:
        url, headers = f"{daemon.address}{TASKS}", {"Authorization": f"Bearer {made['token']}"}
        assert requests.get(url, timeout=30).status_code == 401
        assert requests.get(url, headers=headers, timeout=30).status_code == 200
        body = {"confirm": True, "force": True}
        assert requests.delete(f"{url}/task_orphan", headers=headers, json=body, timeout=30).status_code == 403
        socket = site.folder / "sweepd.sock"
        command = f"curl --unix-socket {socket} http://localhost{TASKS} -H 'Authorization: Bearer {made['token']}'"
        assert curl.run(command)["code"] == 200
        listed = json.loads(site.run("token", "list", "--json").stdout)["tokens"]
        assert [(one["id"], one["name"], one["scopes"]) for one in listed] == [(made["id"], "ci", ["read", "delete"])]
        assert site.run("token", "revoke", made["id"]).stdout == f"token {made['id']} of ci: revoked\n"
        daemon.wait_for_event("tokens_read", tokens=0)
        assert requests.get(url, headers=headers, timeout=30).status_code == 401
    assert not socket.exists()
    assert (site.root / "task_orphan").exists()
    assert made["token"] not in (site.folder / "tokens.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("create", "a b", "--scope", "read"), "a name has 1 to 64"),
        (("create", "ci", "--scope", "purge"), "one of read, delete, admin"),
        (("create", "ci", "--scope", "read", "--expires", "90"), "a duration needs a unit"),
        (("create", "ci"), "--scope"),
        (("revoke", "nobody"), "has no token 'nobody'"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(site: Installation, arguments: tuple[str, ...], problem: str) -> None:
    done = site.run("token", *arguments, check=False)
    assert done.returncode == 2
    assert problem in done.stderr
    assert not (site.folder / "tokens.yaml").exists()
