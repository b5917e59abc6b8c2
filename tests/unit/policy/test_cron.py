"""Cron expressions: the meaning of crontab(5), in the words of APScheduler."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import given
from hypothesis import strategies as st

from daemon.policy.cron import parse_cron

NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


def fire_times(expression: str, count: int, start: datetime) -> list[datetime]:
    trigger = CronTrigger(**parse_cron(expression)._asdict(), timezone=UTC)
    times: list[datetime] = []
    moment = start
    for _ in range(count):
        moment = trigger.get_next_fire_time(None, moment)
        times.append(moment)
        moment += timedelta(seconds=1)
    return times


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("*", "sun mon tue wed thu fri sat"),
        ("0", "sun"),
        ("7", "sun"),
        ("1", "mon"),
        ("1-5", "mon tue wed thu fri"),
        ("5-7", "sun fri sat"),
        ("0-6", "sun mon tue wed thu fri sat"),
        ("0-7", "sun mon tue wed thu fri sat"),
        ("1-7", "sun mon tue wed thu fri sat"),
        ("*/2", "sun tue thu sat"),
        ("1-5/2", "mon wed fri"),
        ("0,3,6", "sun wed sat"),
        ("fri-sun", "sun fri sat"),
        ("sun-tue", "sun mon tue"),
        ("sun-sun", "sun"),
        ("SAT,Mon", "mon sat"),
        ("mon-3", "mon tue wed"),
    ],
)
def test_weekdays_are_those_of_cron(field: str, days: str) -> None:
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    fired = {(moment.weekday() + 1) % 7 for moment in fire_times(f"30 3 * * {field}", 14, monday)}
    assert {NAMES[day] for day in fired} == set(days.split())


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("@hourly", ["01-01 01:00", "01-01 02:00"]),
        ("@daily", ["01-02 00:00", "01-03 00:00"]),
        ("@midnight", ["01-02 00:00", "01-03 00:00"]),
        ("@weekly", ["01-07 00:00", "01-14 00:00"]),
        ("@monthly", ["02-01 00:00", "03-01 00:00"]),
        ("@yearly", ["01-01 00:00", "01-01 00:00"]),
        ("@Annually", ["01-01 00:00", "01-01 00:00"]),
    ],
)
def test_macros_run_when_cron_would(macro: str, expected: list[str]) -> None:
    times = fire_times(macro, 2, datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC))
    assert [moment.strftime("%m-%d %H:%M") for moment in times] == expected


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("*/15 3 * * *", ("0,15,30,45", "3", "*", "*", "*")),
        ("0-59 0-23 1-31 1-12 *", ("*", "*", "*", "*", "*")),
        ("05 03 1-10/3 jan,MAR-may *", ("5", "3", "1,4,7,10", "1,3,4,5", "*")),
        ("  0   0 29 2\t* ", ("0", "0", "29", "2", "*")),
        ("0 0 */2 * *", ("0", "0", ",".join(map(str, range(1, 32, 2))), "*", "*")),
    ],
)
def test_fields_are_written_out(expression: str, fields: tuple[str, ...]) -> None:
    assert parse_cron(expression) == fields


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "five fields"),
        ("0 3 * *", "five fields"),
        ("60 * * * *", "minute: `60`"),
        ("* 24 * * *", "hour: `24`"),
        ("* * 0 * *", "day of month: `0`"),
        ("* * 32 * *", "day of month: `32`"),
        ("* * * 13 *", "month: `13`"),
        ("* * * * 8", "day of week: `8`"),
        ("mon * * * *", "minute: `mon`"),
        ("٣ * * * *", "minute: `٣`"),
        ("1,,2 * * * *", "minute: `` is not a number"),
        ("*-5 * * * *", "not a number"),
        ("1-2-3 * * * *", "not a number"),
        ("-1 * * * *", "not a number"),
        ("30-10 * * * *", "runs backwards"),
        ("* * * * 6-0", "runs backwards"),
        ("0 0 31 2,4 *", "never happens"),
        ("0 0 */2 * mon", "day of month together with day of week"),
    ],
)
def test_what_is_not_cron_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_cron(expression)


_NUMBER = st.integers(0, 60).map(str)
_RANGE = st.tuples(_NUMBER, _NUMBER).map("-".join)
_ITEM = st.one_of(st.just("*"), _NUMBER, _RANGE, st.sampled_from([*NAMES, "jan", "fri-sun", "*/2", "1-5/2", "*/31"]))
_FIELD = st.lists(_ITEM, min_size=1, max_size=2).map(",".join)


@given(st.lists(_FIELD, min_size=5, max_size=5).map(" ".join) | st.text(max_size=20))
def test_whatever_is_accepted_is_valid_for_apscheduler_and_happens(expression: str) -> None:
    try:
        fields = parse_cron(expression)
    except ValueError:
        return
    trigger = CronTrigger(**fields._asdict(), timezone=UTC)
    assert trigger.get_next_fire_time(None, datetime(2024, 1, 1, tzinfo=UTC)) is not None
