"""The API's description: valid, whole, true to the models, and shown as a page without scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate
from yarl import URL

from daemon.web import bodies
from daemon.web.addresses import DESCRIPTION, DOCUMENTATION, TASKS
from daemon.web.application import OPERATIONS
from daemon.web.errors import RULES, ApiCode
from daemon.web.jobs import JOBS
from daemon.web.operations import Operation
from daemon.web.responses import errors_of
from integration.web.installation import Api, Installation
from support.conformance import check_answer


async def document(api: Api) -> dict[str, Any]:
    return dict(json.loads((await api.ask("GET", DESCRIPTION)).raw))


def described(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in found["paths"].values():
        yield from item.values()


async def test_it_is_a_valid_openapi_document(api: Api) -> None:
    found = await document(api)
    assert found["openapi"] == "3.1.0"
    validate(found)


async def test_every_operation_says_what_it_answers(api: Api) -> None:
    operations = api.runner.app[OPERATIONS]
    for operation in operations:
        assert operation.answers or operation.media, f"{operation.method} {operation.path}"
        assert operation.handler.__doc__, f"{operation.method} {operation.path}"
    found = await document(api)
    assert {(method.upper(), path) for path, item in found["paths"].items() for method in item} == {
        (operation.method, operation.public_path) for operation in operations
    }
    for one in described(found):
        scopes = [scope for needed in one["security"] for scope in needed["bearer"]]
        assert ("401" in one["responses"]) is bool(scopes)


async def test_names_are_unique_and_links_lead_to_one(api: Api) -> None:
    found = list(described(await document(api)))
    names = [one["operationId"] for one in found]
    assert len(names) == len(set(names))
    links = [link for one in found for answer in one["responses"].values() for link in answer.get("links", {}).values()]
    assert links
    places = {one["operationId"]: {place["name"] for place in one.get("parameters", ())} for one in found}
    for link in links:
        assert set(link["parameters"]) <= places[link["operationId"]]


async def test_every_error_code_is_somebodys(api: Api) -> None:
    answered = {str(code) for operation in api.runner.app[OPERATIONS] for code in errors_of(operation)}
    assert answered == {str(code) for code in RULES} - {ApiCode.ROUTE_NOT_FOUND, ApiCode.METHOD_NOT_ALLOWED}


async def test_a_catalog_that_was_rolled_back_is_described_wherever_it_is_answered(api: Api) -> None:
    api.problems["journal"] = "it has forgotten one"
    asked = [
        await api.delete("task_1"),
        await api.batch("task_1"),
        await api.ask("POST", f"{TASKS}/task_1/restore"),
        await api.ask("DELETE", f"{JOBS}/{'0' * 28}"),
        await api.ask("POST", "/api/v0/policies/old/sweeps", json={"confirm": True}),
    ]
    assert [answer.body["error_code"] for answer in asked] == ["CATALOG_ROLLED_BACK"] * 5


async def test_the_examples_are_taken(api: Api) -> None:
    found = await document(api)
    examples = 0
    for operation in api.runner.app[OPERATIONS]:
        one = found["paths"][operation.public_path][operation.method.lower()]
        example = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        if operation.body is not None and operation.body.model_fields:
            bodies.check(operation.body, example)
            examples += 1
    assert examples >= 5


async def test_what_a_query_takes_is_described(api: Api) -> None:
    found = (await document(api))["paths"]["/api/v0/policies/{name}/plan"]["get"]
    assert {one["name"]: (one["in"], one["required"]) for one in found["parameters"]} == {
        "name": ("path", True),
        "at": ("query", False),
        "limit": ("query", False),
    }
    assert found["parameters"][2]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    unavailable = found["responses"]["503"]
    assert "Retry-After" in unavailable["headers"]
    assert "CATALOG_UNAVAILABLE" in unavailable["description"]


async def test_the_page_shows_everything_and_runs_nothing(api: Api) -> None:
    answer = await api.ask("GET", DOCUMENTATION)
    text = answer.raw.decode()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"<script|<img|<link|\son\w+=|style=|src=|http://|https://", text)
    for one in described(await document(api)):
        assert f'<h3 id="{one["operationId"]}">' in text
    for target in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{target}"' in text, f"{target} is nowhere on the page"


async def test_an_answer_that_is_not_described_is_noticed(api: Api, installation: Installation) -> None:
    installation.task("task_1", 10)
    answer = await api.delete("task_1")
    operations: list[Operation] = api.runner.app[OPERATIONS]
    url = URL(f"{api.base}{TASKS}/task_1")
    check_answer(operations, "DELETE", url, 200, answer.headers, answer.raw)
    more = {**answer.body, "data": {**answer.body["data"], "surprise": 1}}
    wrong = {**answer.body, "data": {**answer.body["data"], "deleted_bytes": "10"}}
    code = {"success": False, "code": 404, "message": "x", "error_code": "SWEEP_NOT_FOUND"}
    for status, body in ((200, more), (200, wrong), (201, answer.body), (404, code)):
        with pytest.raises((AssertionError, ValueError)):
            check_answer(operations, "DELETE", url, status, answer.headers, json.dumps(body).encode())


async def test_a_deletion_below_a_task_is_no_deletion(api: Api, installation: Installation) -> None:
    installation.task("task_1", 10)
    before = installation.everything()
    for below, allowed in (("restore", "POST"), ("explain", "GET,HEAD")):
        answer = await api.ask("DELETE", f"{TASKS}/task_1/{below}", json={"confirm": True})
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert installation.everything() == before
