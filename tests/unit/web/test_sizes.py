"""Sizes as the contract writes them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.sizes import format_size

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1_000, "1.0 KB"),
        (999_949, "999.9 KB"),
        (999_950, "1.0 MB"),
        (999_999, "1.0 MB"),
        (1_200_000, "1.2 MB"),
        (2_500_000, "2.5 MB"),
        (3_700_000, "3.7 MB"),
        (999_949_999, "999.9 MB"),
        (999_950_001, "1.0 GB"),
        (999_950_000_001, "1.0 TB"),
    ],
)
def test_examples(size_bytes: int, shown: str) -> None:
    assert format_size(size_bytes) == shown


@given(st.integers(1_000, 10**15 - 10**12))
@example(999_950)
@example(999_949_999_999)
def test_the_nearest_tenth_below_a_thousand(size_bytes: int) -> None:
    number, unit = format_size(size_bytes).split(" ")
    assert number == f"{float(number):.1f}"
    assert 1 <= Fraction(number) < 1000
    assert abs(Fraction(number) - Fraction(size_bytes, UNITS[unit])) <= Fraction(1, 20)
