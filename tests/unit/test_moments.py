"""How people and machines read a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import typer

from daemon.cli.dates import read_instant
from daemon.deletion.hold_terms import parse_until
from daemon.moments import for_machines, for_people, in_local_time

MOMENT = datetime(2026, 12, 1, 3, 30, 15, tzinfo=UTC)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the zone of the terminal."""

    def be(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield be
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Asia/Shanghai", "2026-12-01 11:30 +08:00"),
        ("UTC", "2026-12-01 03:30 +00:00"),
        ("", "2026-12-01 03:30 +00:00"),
        ("Asia/Kathmandu", "2026-12-01 09:15 +05:45"),
        ("America/New_York", "2026-11-30 22:30 -05:00"),
        ("No/Such_Zone", "2026-12-01 03:30 +00:00"),
    ],
)
def test_people_read_local_time_with_its_offset(zone: Callable[[str], None], name: str, shown: str) -> None:
    zone(name)
    assert for_people(MOMENT) == shown
    assert for_people("2026-12-01T03:30:15Z") == shown
    assert for_people("2026-12-01T03:30:15+00:00") == shown


def test_machines_read_utc_whatever_the_zone(zone: Callable[[str], None]) -> None:
    zone("Asia/Shanghai")
    assert for_machines(MOMENT.astimezone()) == "2026-12-01T03:30:15Z"


def test_instants_in_a_message_become_local(zone: Callable[[str], None]) -> None:
    zone("Asia/Shanghai")
    message = "held until 2026-12-01T03:30:15Z by bob: task_20261201_033015, 2026-12-01T03:30"
    assert in_local_time(message) == (
        "held until 2026-12-01 11:30:15 +08:00 by bob: task_20261201_033015, 2026-12-01T03:30"
    )


def test_what_is_no_time_is_shown_as_it_is(zone: Callable[[str], None]) -> None:
    zone("Asia/Shanghai")
    assert for_people("soon") == "soon"
    assert for_people(None) == "-"
    assert for_people(datetime.max.replace(tzinfo=UTC)).startswith("9999-12-31")


def test_dates_that_are_typed_are_local(zone: Callable[[str], None]) -> None:
    zone("Asia/Shanghai")
    assert for_machines(read_instant("2026-12-31", "--at")) == "2026-12-30T16:00:00Z"
    assert for_machines(read_instant("2026-12-31T03:00+01:00", "--at")) == "2026-12-31T02:00:00Z"
    assert for_people(parse_until("2026-12-31")) == "2027-01-01 00:00 +08:00"
    for wrong, said in (("soon", r"2026-12-31T03:00 \(local time\)"), ("9999-12-31", "1970 and 9000")):
        with pytest.raises(typer.BadParameter, match=said):
            read_instant(wrong, "--at")
