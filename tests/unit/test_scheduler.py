from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from daemon import clock, scheduler
from daemon.policy.models import Policy, PolicySet, Schedule
from daemon.scheduler import Anchor, Every, Scheduler, WallClockCron, delayed_until, missed_run, trigger_for

BERLIN = ZoneInfo("Europe/Berlin")


def fires(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    """Every fire time in [start, end), as APScheduler would ask for them one after the other."""
    trigger = trigger_for(schedule, start)
    found: list[datetime] = []
    previous: datetime | None = None
    now = start
    while True:
        instant = trigger.get_next_fire_time(previous, now)
        if instant is None or instant >= end:
            return found
        found.append(instant)
        previous = now = instant


def berlin(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=BERLIN, fold=fold)  # type: ignore[misc,arg-type]


def test_a_time_that_the_clock_change_skips_fires_once() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    found = fires(schedule, berlin(2026, 3, 29, 0, 0), berlin(2026, 3, 30, 0, 0))
    assert found == [datetime(2026, 3, 29, 1, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        ("0,30 2 * * *", "America/New_York", "2026-03-08T06:00", ["07:00", "07:30", "06:00", "06:30"]),
        ("*/15 2 * * *", "America/New_York", "2026-03-08T06:00", ["07:00", "07:15", "07:30", "07:45", "06:00"]),
        ("*/15 2 * * *", "America/New_York", "2026-03-08T07:20", ["07:30", "07:45", "06:00"]),
        ("0,30 2,3 * * *", "America/New_York", "2026-03-08T06:00", ["07:00", "07:30", "06:00", "06:30", "07:00"]),
        ("15 1-4 * * *", "America/New_York", "2026-03-08T06:00", ["06:15", "07:15", "08:15", "05:15"]),
        ("30 0 * * *", "Africa/Cairo", "2026-04-23T21:00", ["22:30", "21:30"]),
        # half an hour, from 02:00 to 02:30: what is skipped comes later than what is not
        ("20,40 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:00", ["15:40", "15:50", "15:20", "15:40"]),
        # a whole day, the 30th
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", ["22:00", "22:00", "22:00"]),
    ],
)
def test_no_time_that_the_clock_change_skips_is_lost(cron: str, zone: str, start: str, expected: list[str]) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = fires(Schedule(cron=cron, timezone=zone), begin, begin + timedelta(days=3))
    assert [instant.strftime("%H:%M") for instant in found[: len(expected)]] == expected


def test_a_time_that_the_clock_change_repeats_fires_once_the_first_time() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    found = fires(schedule, berlin(2026, 10, 25, 0, 0), berlin(2026, 10, 26, 0, 0))
    assert found == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]


def test_a_start_inside_the_repeated_hour_does_not_fire_into_the_past() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    second_two_oclock = berlin(2026, 10, 25, 2, 10, fold=1)
    found = fires(schedule, second_two_oclock, berlin(2026, 10, 27, 0, 0))
    assert found == [berlin(2026, 10, 26, 2, 30).astimezone(UTC)]


def test_an_ordinary_year_has_one_fire_a_day() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    found = fires(schedule, berlin(2026, 1, 1, 0, 0), berlin(2027, 1, 1, 0, 0))
    assert len(found) == 365
    assert len({instant.astimezone(BERLIN).date() for instant in found}) == 365


@pytest.mark.parametrize(
    ("cron", "weekday"), [("0 3 * * 0", 6), ("0 3 * * 7", 6), ("0 3 * * 1", 0), ("0 3 * * sun", 6)]
)
def test_weekday_numbers_are_crons_not_apschedulers(cron: str, weekday: int) -> None:
    found = fires(
        Schedule(cron=cron, timezone="UTC"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    )
    assert found
    assert {instant.weekday() for instant in found} == {weekday}


def test_daily_fires_at_midnight_of_its_zone() -> None:
    found = fires(
        Schedule(cron="@daily", timezone="Asia/Shanghai"),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 3, tzinfo=UTC),
    )
    assert [instant.hour for instant in found] == [16, 16]


def test_every_counts_from_the_anchor_so_a_restart_neither_hastens_nor_starves_it() -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    trigger = Every(timedelta(hours=6), anchor, None)
    restart = anchor + timedelta(hours=5, minutes=59)
    assert trigger.get_next_fire_time(None, restart) == anchor + timedelta(hours=6)
    late = anchor + timedelta(hours=13)
    assert trigger.get_next_fire_time(None, late) == anchor + timedelta(hours=18)


def test_every_never_fires_at_the_anchor_itself() -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    assert Every(timedelta(hours=6), anchor, None).get_next_fire_time(None, anchor) == anchor + timedelta(hours=6)


def test_jitter_only_delays_and_stays_within_its_bound() -> None:
    trigger = WallClockCron(Schedule(cron="0 3 * * *", timezone="UTC", jitter=timedelta(minutes=10)))
    due = datetime(2026, 1, 1, 3, tzinfo=UTC)
    for _ in range(200):
        instant = trigger.get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC))
        assert instant is not None
        assert due <= instant <= due + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("last_run", "now", "missed"),
    [
        (datetime(2026, 1, 1, 3, 0, 1, tzinfo=UTC), datetime(2026, 1, 2, 2, 59, tzinfo=UTC), False),
        (datetime(2026, 1, 1, 3, 0, 1, tzinfo=UTC), datetime(2026, 1, 2, 3, 1, tzinfo=UTC), True),
        (datetime(2026, 1, 1, 3, 0, 1, tzinfo=UTC), datetime(2026, 1, 9, 3, 1, tzinfo=UTC), True),
    ],
)
def test_a_run_is_missed_if_one_was_due_since_the_last(last_run: datetime, now: datetime, missed: bool) -> None:
    anchor = Anchor(first_seen_at=datetime(2025, 12, 1, tzinfo=UTC), last_run_at=last_run)
    assert missed_run(Schedule(cron="0 3 * * *", timezone="UTC"), anchor, now) is missed


def test_a_policy_that_never_ran_has_missed_nothing_before_it_was_known() -> None:
    seen = datetime(2026, 1, 5, 12, tzinfo=UTC)
    schedule = Schedule(cron="0 3 * * *", timezone="UTC")
    assert missed_run(schedule, Anchor(seen, None), seen + timedelta(hours=1)) is False
    assert missed_run(schedule, Anchor(seen, None), seen + timedelta(hours=20)) is True


@pytest.mark.parametrize(
    ("last_run", "now", "until"),
    [
        ("02T03:20", "03T03:17", "03T03:25"),
        ("02T03:20", "03T03:14", None),  # not due yet
        ("02T03:20", "03T03:26", None),  # missed
        ("03T03:16", "03T03:17", None),  # it ran
        ("03T03:15", "03T03:17", None),
    ],
)
def test_a_run_that_the_jitter_was_delaying_is_still_due_after_a_restart(
    last_run: str, now: str, until: str | None
) -> None:
    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-06-{text}").replace(tzinfo=UTC)

    schedule = Schedule(cron="15 3 * * *", timezone="UTC", jitter=timedelta(minutes=10))
    anchor = Anchor(at("01T00:00"), at(last_run))
    assert delayed_until(schedule, anchor, at(now)) == (until and at(until))
    assert delayed_until(schedule, Anchor(at(last_run), None), at(now)) == (until and at(until)), "its first run, too"
    assert delayed_until(Schedule(cron="15 3 * * *", timezone="UTC"), anchor, at(now)) is None


def test_it_begins_within_what_is_left_of_the_jitter() -> None:
    scheduler = Scheduler(lambda _name: None, workers=1)
    last_run = clock.now() - timedelta(days=1, minutes=5)
    scheduler.start(PolicySet(policies=(policy("p", "1d"),)), {"p": Anchor(last_run, last_run)})
    try:
        assert scheduler.next_runs()["p"] <= last_run + timedelta(days=1, minutes=10)
    finally:
        scheduler.stop()


def test_every_counts_from_now_if_the_last_run_is_yet_to_come() -> None:
    scheduler = Scheduler(lambda _name: None, workers=1)
    wrong = clock.now() + timedelta(days=1000)
    scheduler.start(PolicySet(policies=(policy("p", "6h"),)), {"p": Anchor(wrong, wrong)})
    try:
        assert scheduler.next_runs()["p"] <= clock.now() + timedelta(hours=6, minutes=10)
    finally:
        scheduler.stop()


def policy(name: str, every: str, **more: object) -> Policy:
    return Policy.model_validate(
        {
            "name": name,
            "schedule": {"every": every, "jitter": "10m"},
            "match": {"older_than": "30d"},
            "action": {"delete": "directory"},
            **more,
        }
    )


def test_other_policies_leave_the_next_run_of_those_that_keep_their_schedule() -> None:
    ran: list[str] = []
    scheduler = Scheduler(ran.append, workers=1)
    long_ago = Anchor(datetime(2026, 1, 1, tzinfo=UTC), None)
    first = [policy("same", "1d", catch_up=False), policy("changed", "1d", catch_up=False), policy("gone", "1d")]
    scheduler.start(PolicySet(policies=tuple(first)), dict.fromkeys(("same", "changed", "gone"), long_ago))
    try:
        before = scheduler.next_runs()
        second = [
            policy("same", "1d", match={"older_than": "40d"}),
            policy("changed", "2d", catch_up=True),
            policy("new", "1h"),
            policy("off", "1h", mode="disabled"),
        ]
        scheduler.replace(PolicySet(policies=tuple(second)), {p.name: long_ago for p in second})
        after = scheduler.next_runs()
        assert after.keys() == {"same", "changed", "new"}
        assert after["same"] == before["same"], "with its jitter, which would be another one"
        assert after["changed"] != before["changed"]
        scheduler.replace(PolicySet(), {})
        assert scheduler.next_runs() == {}
    finally:
        scheduler.stop()
    assert ran in ([], ["gone"]), "what was missed is caught up with at the start alone"


def test_what_became_due_while_the_machine_slept_runs_as_soon_as_it_is_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        """What the wall clock says after a night's sleep, which no wait that runs has noticed."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Later:
            return super().now(tz) + timedelta(hours=8)

    monkeypatch.setattr(scheduler, "_LOOK_S", 0.1)
    ran = threading.Event()
    made = Scheduler(lambda _name: ran.set(), workers=1)
    made.start(PolicySet(policies=(policy("p", "2h"),)), {"p": Anchor(clock.now(), None)})
    try:
        assert not ran.wait(0.5)
        monkeypatch.setattr("apscheduler.schedulers.base.datetime", Later)
        assert ran.wait(10)
    finally:
        made.stop()
