"""The pipeline's timestamps have no zone: an hour is an hour all the same, wherever database and process are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.catalog.catalog import Catalog
from daemon.sweep.eligibility import Eligibility, When
from daemon.sweep.explanation import explain
from support.judging import policy_set, selected
from support.prepared import Prepared
from support.site import make_catalog
from support.stores import Store

OLDER = policy_set({"older_than": {"age": "1h"}})


@pytest.fixture
def zoned(prepared: Prepared, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A PostgreSQL database whose sessions are in the parameter's zone."""
    store = prepared.postgresql(timezone=request.param)
    yield store
    prepared.give_back(store)


def taken(catalog: Catalog) -> set[str]:
    try:
        return selected(catalog, OLDER)
    finally:
        catalog.close()


def around_an_hour(store: Store, now: datetime) -> None:
    for minutes in (59, 61):
        store.add_task(f"t_{minutes}", status="completed", completed_at=now - timedelta(minutes=minutes))
    store.add_task("t_hours_ahead", status="completed", completed_at=now + timedelta(hours=7))
    store.add_task("t_hours_behind", status="completed", completed_at=now - timedelta(hours=9))


@pytest.mark.parametrize("zoned", ["Asia/Shanghai", "America/Los_Angeles", "UTC"], indirect=True)
def test_postgresql_counts_in_the_zone_of_its_own_sessions(zoned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for minutes in (59, 61):
        zoned.query(
            "INSERT INTO data_pipeline_tasks (task_id, status, parameters, completed_at)"
            " VALUES (?, 'completed', '{}', LOCALTIMESTAMP - ? * INTERVAL '1 minute')",
            [f"t_{minutes}", minutes],
        )
    for process in ("UTC", "America/New_York", "Asia/Shanghai"):
        with monkeypatch.context() as patch:
            patch.setenv("TZ", process)
            time.tzset()
            assert taken(make_catalog(zoned)) == {"t_61"}, process
        time.tzset()


@pytest.mark.parametrize("zoned", ["UTC", "Europe/Berlin"], indirect=True)
def test_a_zone_that_is_configured_counts_whatever_the_database_says(zoned: Store) -> None:
    for zone in ("Asia/Shanghai", "America/Los_Angeles", "Asia/Kathmandu"):
        zoned.query("DELETE FROM data_pipeline_tasks")
        around_an_hour(zoned, datetime.now(ZoneInfo(zone)).replace(tzinfo=None))
        assert taken(make_catalog(zoned, timezone=zone)) == {"t_61", "t_hours_behind"}, zone


@pytest.mark.parametrize("zone", [None, "Asia/Shanghai", "America/Los_Angeles"])
def test_sqlite_counts_in_the_configured_zone_or_utc(prepared: Prepared, tmp_path: Path, zone: str | None) -> None:
    store = prepared.sqlite(tmp_path)
    around_an_hour(store, datetime.now(ZoneInfo(zone or "UTC")).replace(tzinfo=None))
    assert taken(make_catalog(store, timezone=zone)) == {"t_61", "t_hours_behind"}


@pytest.mark.parametrize("zone", [None, "Asia/Shanghai"])
def test_what_is_written_is_wall_time_of_the_pipelines_zone(store: Store, zone: str | None) -> None:
    catalog = make_catalog(store, timezone=zone)
    with catalog.read() as session:
        local, utc = session.now.local, session.now.utc
    catalog.close()
    assert local == utc.astimezone(ZoneInfo(zone or "UTC")).replace(tzinfo=None)
    assert abs(utc - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_ages_are_counted_across_a_change_of_the_clocks(store: Store, zone: str) -> None:
    """What is compared is the wall time that was shown then, not today's less so many hours."""
    catalog = make_catalog(store, timezone=zone)
    with catalog.read() as session:
        now = session.now.utc
    for days in (100, 200, 300):  # one of them lies in the other half of the year
        for name, minutes in (("old", 2), ("young", -2)):
            then = (now - timedelta(days=days, minutes=minutes)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            store.add_task(f"t_{days}_{name}", status="completed", completed_at=then)
    for days in (100, 200, 300):
        policies = policy_set({"older_than": f"{days}d"})
        chosen = selected(catalog, policies)
        assert f"t_{days}_old" in chosen
        assert f"t_{days}_young" not in chosen
    catalog.close()


@pytest.mark.parametrize("zoned", ["Europe/Berlin"], indirect=True)
def test_postgresql_takes_a_time_that_was_shown_twice_for_the_later_one(zoned: Store) -> None:
    """In the zone of its own sessions."""
    old_at_the_instant_that_is_told(zoned, None)


def test_a_time_that_was_shown_twice_is_the_later_one(store: Store) -> None:
    old_at_the_instant_that_is_told(store, "Europe/Berlin")


def old_at_the_instant_that_is_told(store: Store, zone: str | None) -> None:
    """On 2026-10-25 the clocks went from 03:00 back to 02:00, at 01:00 UTC."""
    ends = {
        "01:59:59": datetime(2026, 10, 24, 23, 59, 59, tzinfo=UTC),
        "02:00:00": datetime(2026, 10, 25, 1, 0, tzinfo=UTC),
        "02:30:00": datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        "03:00:00": datetime(2026, 10, 25, 2, 0, tzinfo=UTC),
    }
    instants = {}
    for wall, ended in ends.items():
        task_id = f"t_{wall.replace(':', '')}"
        instants[task_id] = ended + timedelta(hours=1)
        store.add_task(task_id, status="completed", completed_at=f"2026-10-25 {wall}")
    catalog = make_catalog(store, timezone=zone)
    now = datetime(2026, 10, 25, tzinfo=UTC)
    for minutes in range(0, 200, 5):
        at = now + timedelta(minutes=minutes)
        for task_id, instant in instants.items():
            [answer] = explain(catalog, OLDER, task_id, at).answers
            assert answer.decision is not None
            assert answer.decision.goes == (at >= instant), (task_id, at)
            if not answer.decision.goes:
                assert answer.decision.eligible == Eligibility(When.LATER, instant, "")
    catalog.close()
