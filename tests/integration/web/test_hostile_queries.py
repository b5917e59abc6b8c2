"""Whatever stands in a query or a path, a database or a library chokes on none of it: 4xx, and never 500."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from daemon.web.addresses import TASKS
from daemon.web.application import OPERATIONS
from integration.web.installation import Api, Installation, serving
from support.judging import policy_set
from support.postgres import create_pipeline_tables
from support.prepared import prepare


def cursor(*place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


HOSTILE = [
    "",
    "\0",
    "a\0b",
    "\N{BELL}\n\t",
    "%",
    "_",
    "[",
    "[a-",
    "\\",
    "*" * 128,
    "?*" * 64,
    "'; --",
    "\N{PILE OF POO}" * 200,
    "9" * 19,
    str(2**63),
    str(2**64),
    "-1",
    "1e9",
    "x" * 20_000,
    "2026-12-31T00:00+23:59",
    "2026-12-31T00:00-23:59:59.999999",
    "2026-12-31T00:00+08:00:30",
    "1970-01-01T00:00+23:59",
    "9000-12-31T23:59:59.999999-23:59",
    "0001-01-01",
    "9999-12-31T23:59:60",
    "36500d",
    "999999999999w",
    "0s",
    cursor("-created", "9999-12-31T23:59:59.999999+23:59", "x"),
    cursor("-created", 2**63 - 1, "x"),
    cursor("-size", -(2**63) + 1, "x"),
    cursor("9999-99-99", "x"),
    cursor("9999-12-31T23:59:59-23:59", "0" * 28),
    cursor(None, None, None),
    cursor("a\0", "\ud800", 1),
]
RAW = ["%ff%fe", "%ED%A0%80", "%C0%80", "%", "%zz"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Of a database other than the installation's own, made before there is an event loop."""
    if request.param == "sqlite":
        return None
    made: str = request.getfixturevalue("postgres_url")
    create_pipeline_tables(made)
    prepare(made)
    return made


@pytest.fixture
async def running(installation: Installation, url: str | None) -> AsyncIterator[Api]:
    installation.policies = policy_set({"older_than": "30d"})
    async with serving(installation, url=url) as api:
        yield api


@pytest.mark.costly
async def test_no_query_and_no_path_is_a_bug(running: Api) -> None:
    asked = 0
    for operation in running.runner.app[OPERATIONS]:
        if operation.method != "GET" or operation.public_path.endswith("/events"):
            continue
        path = operation.public_path.replace("{name}", "policy")
        if "{" in path:
            before, _, after = path.partition("{")
            targets = [f"{before}{quote(value, safe='')}{after.partition('}')[2]}" for value in HOSTILE if value]
        else:
            targets = []
        plain = path.replace("{task_id}", "task_1").replace("{job_id}", "0" * 28).replace("{sweep_id}", "0" * 28)
        fields = operation.query.model_fields if operation.query else {}
        for name, field in fields.items():
            key = field.alias or name
            targets += [f"{plain}?{key}={quote(value, safe='')}" for value in HOSTILE]
            targets += [f"{plain}?{key}={value}" for value in RAW]
        for target in targets:
            head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            answer = await running.raw(head.encode("latin-1"))
            assert answer.status < 500, target[:300]
            asked += 1
    assert asked > 500


@pytest.mark.parametrize("offset", ["+23:59", "-16:00", "+08:00:30", "+00:00:00.000001"])
async def test_an_offset_that_no_database_takes_is_a_moment_all_the_same(running: Api, offset: str) -> None:
    moment = quote(f"2999-12-31T00:00{offset}", safe="")
    assert (await running.ask("GET", f"/api/v0/policies/policy/plan?at={moment}")).status == 200
    assert (await running.ask("GET", f"/api/v0/deletions?since={moment}&until={moment}")).status == 200
    hold = {"task_id": "task_1", "reason": "an audit", "until": f"2999-12-31T00:00:00{offset}"}
    assert (await running.ask("POST", "/api/v0/holds", json=hold)).status == 201
    assert (await running.ask("GET", TASKS)).status == 200
