"""The table from errors to HTTP."""

from __future__ import annotations

import pytest

from daemon.errors import CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError, TaskRefused
from daemon.web.errors import RULES, ApiCode, ApiError, explain
from daemon.web.messages import Language

STATUSES = {
    ErrorCode.INVALID_TASK_ID: 400,
    ErrorCode.TASK_NOT_FOUND: 404,
    ErrorCode.TASK_RUNNING: 409,
    ErrorCode.TASK_CHANGED: 409,
    ErrorCode.TASK_BUSY: 409,
    ErrorCode.UNSAFE_DIRECTORY: 403,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.DELETION_FAILED: 500,
    ErrorCode.ROOT_UNAVAILABLE: 503,
    ErrorCode.CATALOG_UNAVAILABLE: 503,
    ErrorCode.CATALOG_NOT_READY: 503,
}


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_each_refusal_has_its_status_and_message(code: ErrorCode, status: int) -> None:
    problem = explain(TaskRefused("no", code=code), "task_1")
    assert (problem.status, problem.code) == (status, code)
    for language in Language:
        assert problem.message(language)


@pytest.mark.parametrize("code", [code for code in RULES if RULES[code].status == 503])
def test_what_may_pass_says_when_to_come_back(code: str) -> None:
    assert RULES[code].headers == {"Retry-After": "5"}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        RecursionError("secret"),
        SweepdError("secret", code=ErrorCode.LIMIT_EXCEEDED),
        SweepdError("secret", code=ErrorCode.SCAN_RUNNING),
    ],
)
def test_the_unexpected_tells_nothing(error: Exception) -> None:
    problem = explain(error, "task_1")
    assert (problem.code, problem.status, problem.data) == (ApiCode.INTERNAL_ERROR, 500, {})
    assert "secret" not in problem.message(Language.ENGLISH)


def test_a_refusal_carries_what_and_where() -> None:
    details = {"task_id": "task_1", "path": "task_1/below", "errno": "EACCES"}
    problem = explain(TaskRefused("it failed; do this", code=ErrorCode.PERMISSION_DENIED, details=details), "task_1")
    assert problem.data == {**details, "reason": "it failed; do this"}


def test_a_running_task_carries_what_the_contract_says_and_no_more() -> None:
    details = {"task_id": "task_1", "current_status": "running"}
    assert explain(TaskRefused("wait", code=ErrorCode.TASK_RUNNING, details=details)).data == details


@pytest.mark.parametrize("error", [RootUnavailable("at /srv/data"), CatalogUnavailable("at host db1")])
def test_the_installations_addresses_stay_inside(error: SweepdError) -> None:
    assert explain(error, "task_1").data == {}


def test_an_api_error_stays_itself() -> None:
    error = ApiError(ApiCode.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})
    assert explain(error) is error
    assert error.headers == {"Allow": "GET"}
