"""What exceeds a limit, and how many of the first tasks it lets through."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.policy.models import Limits
from daemon.sweep.limits import breaches, too_many_errors, usual


def limits(**bounds: Any) -> Limits:
    return Limits.model_validate(bounds)


@pytest.mark.parametrize(
    ("bounds", "selected", "considered", "most"),
    [
        ({"max_tasks": 3}, 3, 10, None),
        ({"max_tasks": 3}, 4, 10, 3),
        ({"max_percent": 20}, 20, 100, None),
        ({"max_percent": 20}, 21, 100, 20),
        ({"max_percent": 20}, 1, 4, 0),
        ({"max_percent": 0.7}, 7, 1000, None),
        ({"max_percent": 0.7}, 8, 1000, 7),
        ({"max_percent": 0}, 1, 1000, 0),
        ({"max_percent": 100}, 10, 10, None),
    ],
)
def test_tasks_and_their_share(bounds: dict[str, Any], selected: int, considered: int, most: int | None) -> None:
    found = breaches(limits(**bounds), [None] * selected, considered, None)
    assert [breach.most for breach in found] == ([] if most is None else [most])
    assert [breach.limit for breach in found] == ([] if most is None else list(bounds))


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ([400, 600], None),
        ([400, 601], 1),
        ([1001], 0),
        ([400, None, 5], 1),
        ([None], 0),
        ([400, 601, None], 1),
        ([0, 0, 1000, 0], None),
        ([], None),
    ],
)
def test_bytes_that_are_not_known_prove_nothing(sizes: list[int | None], most: int | None) -> None:
    found = breaches(limits(max_bytes="1KB"), sizes, 10, None)
    assert [breach.most for breach in found] == ([] if most is None else [most])


def test_the_messages_say_what_is_and_what_may_be() -> None:
    every = limits(max_tasks=1, max_bytes="1KB", max_percent=10, max_times_usual=2)
    assert [breach.message for breach in breaches(every, [900, 900, 900], 10, 1.0)] == [
        "3 tasks are selected, limits.max_tasks is 1",
        "3 of 10 tasks (30.0%) are selected, limits.max_percent is 10",
        "3 tasks are selected, usually it is 1, limits.max_times_usual is 2",
        "2.7 KB are selected, limits.max_bytes is 1.0 KB",
    ]
    (unproven,) = breaches(limits(max_bytes="1KB"), [1, None, None], 10, None)
    assert unproven.message == (
        "2 of 3 selected tasks have not been measured yet, so limits.max_bytes cannot be proven"
    )


@pytest.mark.parametrize(
    ("before", "expected"),
    [([], None), ([1, 2], None), ([5, 1, 3], 3.0), ([2, 4, 2, 4], 3.0), ([1] * 10 + [900] * 50, 1.0)],
)
def test_what_is_usual_is_the_median_of_the_last_ten(before: list[int], expected: float | None) -> None:
    assert usual(before) == expected


@pytest.mark.parametrize(
    ("usually", "selected", "most"), [(None, 999, None), (10.0, 25, None), (10.0, 26, 25), (0.0, 2, None), (0.0, 3, 2)]
)
def test_as_many_times_as_usual(usually: float | None, selected: int, most: int | None) -> None:
    found = breaches(limits(max_times_usual=2.5), [None] * selected, 1000, usually)
    assert [breach.most for breach in found] == ([] if most is None else [most])


@pytest.mark.parametrize(
    ("failed", "tried", "stops"), [(9, 9, False), (1, 10, False), (2, 10, True), (10, 100, False), (11, 100, True)]
)
def test_failures_count_from_ten_tried_on(failed: int, tried: int, stops: bool) -> None:
    why = too_many_errors(limits(max_error_percent=10), failed, tried)
    assert (why is not None) is stops
    assert too_many_errors(None, failed, tried) is None
    assert too_many_errors(limits(max_tasks=1), failed, tried) is None
