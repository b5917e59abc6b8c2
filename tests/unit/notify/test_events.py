"""Events of the log that are worth telling, and how often."""

from __future__ import annotations

import json

from daemon import log
from daemon.notify.events import ALARMS, BUGS, MOST, Events
from support.logs import logged

_log = log.get(__name__)


def test_an_event_is_heard_whatever_level_is_logged() -> None:
    events = Events()
    with logged("error") as stream:
        with log.listening(events.listen):
            _log.warning("drift_found", orphans=3, missing=1)
        _log.warning("drift_found", orphans=4, missing=1)
    assert [one.text for one in events.take()] == [
        "rows and directories differ: 3 directories without a row, 1 rows without their directory"
    ]
    assert stream.getvalue() == ""


def test_what_goes_on_is_told_once_for_each_thing_it_happens_to() -> None:
    events = Events()
    for deletion in ("a", "b", "a"):
        events.listen(
            "error", {"event": "recovery_conflict", "deletion_id": deletion, "task_ids": ["t"], "reason": "r"}
        )
        events.listen("error", {"event": "janitor_crashed"})
    assert [one.type for one in events.take()] == ["recovery_conflict", "janitor_crashed", "recovery_conflict"]
    assert events.take() == []


def test_changes_are_told_each_time() -> None:
    events = Events()
    for number in (1, 2):
        events.listen("warning", {"event": "drift_found", "orphans": number, "missing": 0})
    assert len(events.take()) == 2


def test_a_sweep_that_could_not_run_is_told_because_there_is_no_record_of_it() -> None:
    events = Events()
    events.listen("error", {"event": "sweep_finished", "policy": "p", "outcome": "failed", "reason": "no root"})
    events.listen("info", {"event": "sweep_finished", "policy": "p", "outcome": "success", "sweep_id": "1"})
    events.listen("error", {"event": "sweep_refused", "policy": "p", "error": "CATALOG_EMPTY", "reason": "no rows"})
    events.listen("warning", {"event": "sweep_refused", "policy": "p", "error": "SWEEP_RUNNING", "reason": "busy"})
    assert [one.text for one in events.take()] == [
        "policy p could not run: no root",
        "policy p could not run: no rows",
    ]


def test_a_flood_takes_no_more_than_its_place() -> None:
    events = Events()
    for number in range(MOST + 10):
        events.listen("warning", {"event": "drift_found", "orphans": number, "missing": 0})
    taken = events.take()
    assert len(taken) == MOST
    assert json.loads(taken[0].details) == {}
    assert "10 directories" in taken[0].text, "the oldest went"


def test_every_rule_has_words_for_an_event_without_fields() -> None:
    events = Events()
    for name in (*ALARMS, *BUGS):
        events.listen("error", {"event": name})
    assert len(events.take()) == len(ALARMS) + len(BUGS)
