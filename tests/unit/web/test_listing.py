"""The list's query."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.web.errors import ApiError
from daemon.web.listing import Page, parse


def test_the_defaults() -> None:
    assert parse({}) == Page(100, 0, None)


def test_the_borders() -> None:
    assert parse({"limit": ["1"], "offset": ["0"], "status": ["failed"]}) == Page(1, 0, "failed")
    assert parse({"limit": ["1000"], "offset": [str(2**63 - 1)]}) == Page(1000, 2**63 - 1, None)


def test_the_parameters_of_others_are_ignored() -> None:
    assert parse({"sort": ["name"]}) == Page(100, 0, None)


@given(st.text() | st.text("0123456789+-_ .", max_size=5), st.sampled_from(["limit", "offset"]))
def test_a_number_or_refused(text: str, name: str) -> None:
    if re.fullmatch("[0-9]{1,3}", text) and text.strip("0"):
        assert parse({name: [text]}) == (Page(int(text), 0, None) if name == "limit" else Page(100, int(text), None))
    elif not (text.isascii() and text.isdigit()):
        with pytest.raises(ApiError) as caught:
            parse({name: [text]})
        assert caught.value.data == {"parameter": name}


@pytest.mark.parametrize("status", ["", " ", "a\nb", "a\0b", "x" * 51, "\udc80"])
def test_what_is_no_status(status: str) -> None:
    with pytest.raises(ApiError):
        parse({"status": [status]})
