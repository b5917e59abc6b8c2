"""When a task that stays could go, computed from the clauses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.catalog.holds import Hold
from daemon.catalog.populations import Measured
from daemon.catalog.rows import TaskRow
from daemon.policy.models import Policy, Protect
from daemon.sweep.eligibility import Eligibility, Facts, When, earliest, protecting

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def task(**columns: Any) -> TaskRow:
    values: dict[str, Any] = dict.fromkeys(TaskRow.__slots__)
    return TaskRow(**{**values, "task_id": "task_1", "status": "completed", "directory_exists": True, **columns})


def ago(days: float) -> datetime:
    """Wall time in UTC that many days ago."""
    return (NOW - timedelta(days=days)).replace(tzinfo=None)


def hold(days: float | None, owner: str = "alice") -> Hold:
    return Hold("h", "task_1", owner, "audit", NOW - DAY, None if days is None else NOW + timedelta(days=days))


def ask(
    match: dict[str, Any],
    row: TaskRow,
    *,
    holds: tuple[Hold, ...] = (),
    running: bool = False,
    rank: int | None = None,
    measured: Measured | None = None,
    protect: tuple[dict[str, Any], ...] = (),
    zone: Any = UTC,
    **options: Any,
) -> Eligibility:
    policy = Policy.model_validate({"name": "p", "match": match, "action": {"delete": "directory"}, **options})
    protections = [
        Protect.model_validate({"name": f"protect-{index}", "match": one}) for index, one in enumerate(protect)
    ]
    return earliest(policy, protections, Facts(row, measured, running, rank, holds), NOW, zone)


def later(days: float) -> Eligibility:
    return Eligibility(When.LATER, NOW + timedelta(days=days), "")


OLD = {"older_than": "30d"}
FRESH = task(completed_at=ago(10), created_at=ago(12))


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (OLD, later(20)),
        ({"older_than": {"age": "30d", "by": "created"}}, later(18)),
        ({"all": [OLD, {"older_than": {"age": "60d", "by": "created"}}]}, later(48)),
        ({"any": [OLD, {"older_than": {"age": "60d", "by": "created"}}]}, later(20)),
        ({"not": {"newer_than": "30d"}}, later(20)),
        ({"not": {"any": [{"newer_than": "11d"}, {"newer_than": {"age": "15d", "by": "created"}}]}}, later(3)),
        ({"any": [OLD, {"status": "failed"}]}, later(20)),
        ({"status": "completed"}, Eligibility(When.NOW, None, "")),
    ],
)
def test_all_is_the_latest_and_any_the_earliest(match: dict[str, Any], expected: Eligibility) -> None:
    assert ask(match, FRESH) == expected


@pytest.mark.parametrize(
    "match",
    [
        {"all": [OLD, {"status": "failed"}]},
        {"newer_than": "5d"},
        {"all": [{"older_than": "20d"}, {"newer_than": "15d"}]},
        {"older_than": {"age": "1d", "by": "updated"}},
        {"not": {"newer_than": {"age": "1d", "by": "updated"}}},
        {"older_than": {"age": "1d", "by": "modified"}},
        {"size": {"gte": "1B"}},
    ],
)
def test_what_time_does_not_change_is_never(match: dict[str, Any]) -> None:
    assert ask(match, FRESH) == Eligibility(When.NEVER, None, "not by time alone: its match")


def test_a_window_that_opens_later_and_closes_is_met_when_it_opens() -> None:
    assert ask({"all": [{"older_than": "20d"}, {"newer_than": "25d"}]}, FRESH) == later(10)


def test_the_end_of_a_hold_counts_and_one_without_end_is_never() -> None:
    assert ask(OLD, task(completed_at=ago(40)), holds=(hold(3), hold(7))) == later(7)
    assert ask(OLD, FRESH, holds=(hold(3),)) == later(20)
    answer = ask(OLD, FRESH, holds=(hold(3), hold(None, "bob")))
    assert answer == Eligibility(When.NEVER, None, "not by time alone: the hold of bob")


def test_the_least_age_counts_from_completion() -> None:
    assert ask({"status": "completed"}, FRESH, keep={"min_age": "13d"}) == later(3)
    assert ask({"status": "completed"}, task(), keep={"min_age": "13d"}).when is When.NEVER


def test_running_is_no_matter_of_time_and_the_newest_depend_on_others() -> None:
    assert ask(OLD, FRESH, running=True).why == "not by time alone: it is running"
    assert ask(OLD, FRESH, rank=2, keep={"last": 2}).when is When.UNKNOWN
    assert ask({"status": "failed"}, FRESH, rank=2, keep={"last": 2}).when is When.NEVER
    assert ask(OLD, FRESH, rank=3, keep={"last": 2}) == later(20)
    assert ask(OLD, task(), rank=3, keep={"last": 2}).when is When.NEVER


def test_a_protection_can_end_begin_or_last() -> None:
    aged = task(completed_at=ago(40), updated_at=ago(5))
    assert ask(OLD, aged, protect=({"newer_than": {"age": "8d", "by": "updated"}},)) == later(3)
    named = ask(OLD, aged, protect=({"task_id": {"glob": "task_*"}},))
    assert named == Eligibility(When.NEVER, None, "not by time alone: protected by protect-0")
    begins_first = ask(OLD, FRESH, protect=({"older_than": {"age": "15d", "by": "completed"}},))
    assert begins_first.when is When.NEVER
    unknown = ask(OLD, aged, protect=({"older_than": {"age": "1d", "by": "started"}},))
    assert unknown.when is When.NEVER, "what is not known protects"


def test_wall_time_is_the_pipelines() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    row = task(completed_at=(NOW - 10 * DAY).astimezone(shanghai).replace(tzinfo=None))
    assert ask(OLD, row, zone=shanghai) == later(20)


def test_what_scans_found_counts_by_its_own_instants() -> None:
    found = Measured(3, 1, 500, 512, NOW - 2 * DAY, NOW - 4 * DAY)
    assert ask({"older_than": {"age": "5d", "by": "modified"}}, FRESH, measured=found) == later(3)
    assert ask({"all": [OLD, {"size": {"gt": "499B", "lte": "500B"}}]}, FRESH, measured=found) == later(20)
    assert ask({"all": [OLD, {"size": {"gt": "500B"}}]}, FRESH, measured=found).when is When.NEVER
    orphan = task(status=None)
    age = {"older_than": {"age": "3d", "by": "first_seen"}}
    assert ask(age, orphan, measured=found, source="orphans", keep={"min_age": "9d"}) == later(5)


def test_every_protection_that_keeps_a_task_is_named() -> None:
    protections = [
        Protect.model_validate({"name": name, "match": match})
        for name, match in (
            ("one", {"task_id": {"glob": "task_?"}}),
            ("no", {"user": "bob"}),
            ("unknown", {"older_than": {"age": "1d", "by": "started"}}),
        )
    ]
    assert protecting(protections, Facts(FRESH, None, False, None, ()), NOW, UTC) == ["one", "unknown"]


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")])
def test_the_last_date_there_is_is_no_matter_of_time(zone: Any) -> None:
    last = task(completed_at=datetime.max, created_at=datetime.max)
    assert ask(OLD, last, zone=zone) == Eligibility(When.NEVER, None, "not by time alone: its match")
    kept = ask({"status": "completed"}, last, zone=zone, keep={"min_age": "1d"})
    assert kept == Eligibility(When.NEVER, None, "not by time alone: keep.min_age")
    first = task(completed_at=datetime.min)
    assert ask(OLD, first, zone=zone).when is When.NOW
