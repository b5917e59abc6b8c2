"""Queries are checked as bodies are: at every address, what it does not know is refused."""

from __future__ import annotations

import pytest
from yarl import URL

from daemon.web.addresses import TASKS
from daemon.web.application import OPERATIONS, make_application
from integration.web.installation import Api


def addresses(api: Api) -> list[str]:
    """Every address of GET that needs a token, with something in its place."""
    found = []
    for operation in make_application(api.context)[OPERATIONS]:
        if operation.method == "GET" and operation.scope is not None:
            path = operation.public_path
            for name in ("task_id", "name", "job_id", "sweep_id", "hold_id"):
                path = path.replace(f"{{{name}}}", "x")
            found.append(path)
    return found


async def test_no_address_ignores_what_it_does_not_know(api: Api) -> None:
    assert len(addresses(api)) > 15
    for path in addresses(api):
        answer = await api.ask("GET", f"{path}?no_such_thing=1")
        assert (answer.status, answer.body["error_code"]) == (400, "UNKNOWN_PARAMETER"), path
        assert answer.body["unknown_params"] == ["no_such_thing"]


async def test_a_misspelt_one_is_told_the_nearest(api: Api) -> None:
    answer = await api.ask("GET", f"{TASKS}?statu=failed")
    assert (answer.status, answer.body["data"]) == (400, {"did_you_mean": {"statu": "status"}})


async def test_a_status_that_no_task_can_have_is_refused(api: Api) -> None:
    api.context.catalog.statuses = ("running", "completed", "failed")
    assert (await api.ask("GET", f"{TASKS}?status=failed,running")).status == 200
    answer = await api.ask("GET", f"{TASKS}?status=failed,complete", headers={"Accept-Language": "en"})
    assert (answer.status, answer.body["data"]) == (400, {"parameter": "status"})
    assert answer.body["message"] == "Invalid parameter: status must be one of running, completed, failed"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_are_answered_whatever_is_added(api: Api, path: str) -> None:
    assert (await api.ask("GET", str(URL(path).with_query(t="1")))).status == 200
