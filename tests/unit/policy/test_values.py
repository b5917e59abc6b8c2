"""Durations and sizes."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.policy.values import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("45m", 2700),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1d12h", 129_600),
        ("1w1d1h1m1s", 694_861),
        ("36500d", 3_153_600_000),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("6M", "write it in days: 180d"),
        ("6 months", "write it in days: 180d"),
        ("1y", "write it in days: 365d"),
        ("30 days", "write 30d"),
        ("1.5d", "write 1d12h"),
        ("30D", "write 30d"),
        ("10 hrs", "write 10h"),
        ("2 wks", "write 14d"),
        ("500ms", "write a number and a unit"),
        ("200y", "write a number and a unit"),
        ("0y", "write a number and a unit"),
        ("30ss", "write a number and a unit"),
        ("6Ms", "write a number and a unit"),
    ],
)
def test_a_duration_in_other_words_is_answered_with_what_to_write(text: str, proposal: str) -> None:
    with pytest.raises(ValueError, match=f"{proposal}"):
        parse_duration(text)


@given(st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,3})? ?[A-Za-z]{1,7}", fullmatch=True))
def test_what_is_proposed_is_a_duration(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError as error:
        if proposed := re.search(r"(?:write|days:) ([0-9dhms]+)$", str(error)):
            parse_duration(proposed[1])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("30", "needs a unit"),
        ("-30", "needs a unit"),
        ("1.5", "needs a unit"),
        ("-30d", "negative"),
        ("0d", "zero"),
        ("0d0h", "zero"),
        ("36501d", "longer than 36500d"),
        ("999999999999w", "longer than 36500d"),
        ("9999999999999w", "not a duration"),
        ("", "not a duration"),
        ("d", "not a duration"),
        ("1.5h", "not a duration"),
        ("30 d", "not a duration"),
        ("30D", "not a duration"),
        ("1y", "not a duration"),
        ("12h1d", "not a duration"),
        ("1d1d", "not a duration"),
        ("30d\n", "not a duration"),
        ("٣d", "not a duration"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(days=14), "14d"),
        (timedelta(days=1, hours=12), "1d12h"),
        (timedelta(seconds=3_661), "1h1m1s"),
        (timedelta(), "0s"),
        (timedelta(milliseconds=500), "0s"),
        (timedelta(hours=-1), "-1h"),
    ],
)
def test_a_duration_is_written_in_its_largest_units(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@given(st.integers(1, 36_500 * 86_400))
def test_what_is_written_is_read_again(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@given(st.text(alphabet="0123456789wdhms.- ", max_size=12))
def test_arbitrary_text_is_a_positive_duration_or_refused(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert duration > timedelta()


@pytest.mark.parametrize(("text", "size_bytes"), [("9223PB", 9223 * 10**15), ("8191PiB", 8191 * 2**50), ("0B", 0)])
def test_a_size_fits_into_a_databases_integer(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["9224PB", "8192PiB", "10000PB", "999999999999999PiB"])
def test_a_larger_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="less than 8192PiB"):
        parse_size(text)
