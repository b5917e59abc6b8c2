"""The list's query."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from daemon.catalog.task_list import Order, SortBy
from daemon.web import cursors
from daemon.web.errors import ApiError
from daemon.web.list_queries import TasksQuery
from daemon.web.queries import check_query


def parse(*pairs: tuple[str, str]) -> TasksQuery:
    return check_query(TasksQuery, MultiDict(pairs))


def test_the_defaults() -> None:
    assert parse() == TasksQuery()
    assert (parse().limit, parse().offset, parse().order) == (100, 0, Order(SortBy.CREATED, descending=True))


def test_the_borders() -> None:
    found = parse(("limit", "1000"), ("offset", str(2**63 - 1)))
    assert (found.limit, found.offset) == (1000, 2**63 - 1)
    assert parse(("limit", "1"), ("offset", "0")).limit == 1


def test_the_parameters_of_others_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        parse(("page", "7"), ("Limit", "x"))
    assert caught.value.code == "UNKNOWN_PARAMETER"


@pytest.mark.parametrize("pairs", [[("status", "a,b")], [("status", "a"), ("status", "b")]])
def test_statuses_in_one_or_in_several(pairs: list[tuple[str, str]]) -> None:
    assert parse(*pairs).filter.statuses == ("a", "b")


def test_all_of_them() -> None:
    found = parse(
        ("directory_exists", "false"), ("older_than", "1d12h"), ("user", "ann"), ("database", "d"), ("q", "%_")
    ).filter
    assert (found.directory_exists, found.older_than) == (False, timedelta(hours=36))
    assert (found.user, found.database, found.text) == ("ann", "d", "%_")


@given(st.text() | st.text("0123456789+-_ .", max_size=5), st.sampled_from(["limit", "offset"]))
def test_a_number_or_refused(text: str, name: str) -> None:
    if re.fullmatch("[0-9]{1,3}", text) and text.strip("0"):
        assert getattr(parse((name, text)), name) == int(text)
    elif not (text.isascii() and text.isdigit()):
        with pytest.raises(ApiError) as caught:
            parse((name, text))
        assert caught.value.data == {"parameter": name}


@pytest.mark.parametrize("status", ["", " ", "a\nb", "a\0b", "x" * 51, "\udc80", "a,,b", ",".join("a" * 21)])
def test_what_is_no_status(status: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(("status", status))
    assert caught.value.data == {"parameter": "status"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sort", "name"),
        ("sort", "--created"),
        ("directory_exists", "1"),
        ("older_than", "5"),
        ("older_than", "-5d"),
        ("q", ""),
        ("q", "a\0"),
        ("q", "x" * 501),
        ("user", "\udc80"),
        ("total", "yes"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse((name, value))
    assert caught.value.data == {"parameter": name}


@given(st.lists(st.none() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text("aé_ =\n", max_size=9), max_size=4))
def test_a_cursor_leads_back_to_its_place(place: list[str | int | None]) -> None:
    cursor = cursors.encode(place)
    assert re.fullmatch("[A-Za-z0-9_-]+", cursor)
    assert cursors.decode(cursor) == place


@given(st.text(max_size=20) | st.binary(max_size=20).map(lambda raw: raw.hex()))
def test_anything_else_is_a_place_or_refused(text: str) -> None:
    try:
        assert isinstance(cursors.decode(text), list)
    except ValueError as error:
        assert str(error) == "not a cursor"


@pytest.mark.parametrize("place", [[True], [1.5], {"a": 1}, "a", ["\0"], [["a"]], [2**63], ["\ud800"]])
def test_what_no_database_takes_is_no_place(place: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")
    with pytest.raises(ValueError, match="not a cursor"):
        cursors.decode(text)
