"""Every example of the page about the client runs, in its order."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

import pytest

from daemon.cli.exits import Exit
from daemon.client import Client, errors
from daemon.policy.models import Policy, PolicySet
from integration.web.installation import Api, Installation
from integration.web.remote import Sweepd

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "client.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8084"


@pytest.fixture(autouse=True)
def tasks(installation: Installation) -> None:
    installation.fifteen("task_20250702_173932")
    installation.task("task_20250702_174521", 10, status="in_progress")
    installation.task("task_20250702_180000", 10, status="failed")
    installation.task("task_20250701_000000", 10, completed_at="2025-07-01 10:00:00")
    for number in range(5):
        installation.task(f"task_20250702_19000{number}", 10, completed_at="2999-01-01 10:00:00")
    finished = {
        "name": "finished-after-30-days",
        "mode": "enforce",
        "match": {"status": "completed", "older_than": "30d"},
        "action": {"delete": "directory"},
    }
    installation.policies = PolicySet(policies=(Policy.model_validate(finished),))


async def test_the_examples_in_python(api: Api, installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        await asyncio.to_thread(exec, block.replace(ADDRESS, api.base), names)
    out = capsys.readouterr().out
    assert "2.5 MB " in out
    assert "TASK_RUNNING in_progress Try again when it has ended" in out
    assert "success 1 0" in out
    assert out.endswith("2 of 2\n2 deleted, 0 failed\n")
    rows = installation.rows()
    assert {name for name, row in rows.items() if not row["directory_exists"]} >= {
        "task_20250702_180000",
        "task_20250701_000000",
    }


async def test_the_examples_of_the_command_line(api: Api, sweepd: Sweepd) -> None:
    commands = re.findall(rf"^\$ sweepd --server {ADDRESS} (.+)$", PAGE, re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        assert await sweepd(api, *shlex.split(command)) == Exit.OK, (command, sweepd.out, sweepd.err)


def test_every_method_and_every_error_is_on_the_page() -> None:
    for name in vars(errors):
        if isinstance(getattr(errors, name), type) and name not in ("Any", "Mapping", "ApiError"):
            assert f"`{name}`" in PAGE, name
    for name in dir(Client):
        if not name.startswith("_"):
            assert f"`{name}(" in PAGE, name
