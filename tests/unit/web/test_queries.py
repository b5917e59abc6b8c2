"""Queries: text in, the model out, or one parameter named with its rule."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import MultiDict
from pydantic import Field

from daemon.catalog.scans import Drift
from daemon.web.errors import ApiError
from daemon.web.messages import Language
from daemon.web.queries import (
    AtQuery,
    HoldsQuery,
    InventoryQuery,
    PlanQuery,
    Query,
    SweepsQuery,
    Whole,
    check_query,
)


class Named(Query):
    """One with another name outside than inside."""

    lasting: Whole = Field(3, ge=1, le=9, alias="for")


def check(model: type[Query], *pairs: tuple[str, str]) -> dict[str, Any]:
    return check_query(model, MultiDict(pairs)).model_dump()


def test_the_defaults() -> None:
    assert check(PlanQuery) == {"at": None, "limit": 100}
    assert check(SweepsQuery) == {"policy": None, "limit": 50}
    assert check(HoldsQuery) == {"all": False}
    assert check(InventoryQuery) == {"limit": 10, "drift": None}


def test_what_is_given() -> None:
    assert check(PlanQuery, ("limit", "1000"), ("at", "2026-12-31T03:00+08:00")) == {
        "limit": 1000,
        "at": "2026-12-31T03:00+08:00",
    }
    assert check(HoldsQuery, ("all", "true")) == {"all": True}
    assert check(InventoryQuery, ("drift", "missing"), ("limit", "0")) == {"limit": 0, "drift": Drift.MISSING}
    assert check(Named, ("for", "4")) == {"lasting": 4}


def test_what_is_not_known_is_refused_with_the_nearest_that_is() -> None:
    with pytest.raises(ApiError) as caught:
        check(PlanQuery, ("limt", "x"), ("limt", "y"), ("zzz", ""), ("at", "2026-12-31"))
    assert caught.value.code == "UNKNOWN_PARAMETER"
    assert caught.value.fields == {"unknown_params": ["limt", "zzz"]}
    assert caught.value.data == {"did_you_mean": {"limt": "limit"}}


@pytest.mark.parametrize(
    ("model", "query", "message"),
    [
        (PlanQuery, [("limit", "0")], "limit must be a whole number from 1 to 1000"),
        (PlanQuery, [("limit", "+1")], "limit must be a whole number from 1 to 1000"),
        (PlanQuery, [("limit", "1.0")], "limit must be a whole number from 1 to 1000"),
        (PlanQuery, [("limit", "1_0")], "limit must be a whole number from 1 to 1000"),
        (PlanQuery, [("limit", "１")], "limit must be a whole number from 1 to 1000"),
        (PlanQuery, [("limit", "1"), ("limit", "1")], "limit must be a whole number from 1 to 1000"),
        (InventoryQuery, [("limit", "1001")], "limit must be a whole number from 0 to 1000"),
        (Named, [("for", "10")], "for must be a whole number from 1 to 9"),
        (Named, [("for", "1"), ("for", "2")], "for must be a whole number from 1 to 9"),
        (AtQuery, [("at", "")], "at must be a date such as 2026-12-31 or 2026-12-31T18:00:00+08:00"),
        (AtQuery, [("at", "1969-01-01")], "at must be a date such as 2026-12-31 or 2026-12-31T18:00:00+08:00"),
        (HoldsQuery, [("all", "1")], "all must be one of the booleans true and false"),
        (HoldsQuery, [("all", "True")], "all must be one of the booleans true and false"),
        (InventoryQuery, [("drift", "")], "drift must be orphans, missing, returned or unnamed"),
        (SweepsQuery, [("policy", "a"), ("policy", "b")], "policy must be the name of a policy"),
        (SweepsQuery, [("policy", "a\0b")], "policy must be the name of a policy"),
    ],
)
def test_what_is_wrong_is_named_with_its_rule(model: type[Query], query: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        check(model, *query)
    assert caught.value.code == "INVALID_PARAMETER"
    assert caught.value.message(Language.ENGLISH) == f"Invalid parameter: {message}"
