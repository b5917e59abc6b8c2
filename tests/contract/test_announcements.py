"""Tasks that are about to go, on both databases: what is announced is what goes, and each is announced once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon import clock
from daemon.catalog import notices, suspensions, sweeps
from daemon.deletion.models import Trigger
from daemon.notify.announcing import announce
from daemon.policy.loader import load_policies
from daemon.policy.models import Policy, PolicySet
from support.site import Site
from support.stores import wall_time

STATUSES = ("pending", "in_progress", "running", "partial_completed", "completed", "failed")
POLICY = """
version: 1
protect:
  - name: golden
    match: {{task_id: {{glob: "golden*"}}}}
policies:
  - name: old
    mode: {mode}
    schedule: {{every: 6h}}
    match: {match}
    {extra}
    notify: {{before: 48h}}
    action: {{trash: {{retain: 7d}}}}
"""
OLD = "{all: [{status: completed}, {older_than: 30d}]}"
HORIZON = timedelta(hours=48)


def policies(folder: Path, match: str = OLD, *, mode: str = "enforce", extra: str = "") -> PolicySet:
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(POLICY.format(mode=mode, match=match, extra=extra))
    return load_policies(folder, statuses=STATUSES)


def aged(site: Site, task_id: str, days: float, **columns: Any) -> None:
    with site.catalog.read() as session:
        stamp = session.now.local - timedelta(days=days)
    site.task(task_id, created_at=stamp, completed_at=stamp, **columns)


def look(site: Site, found: PolicySet) -> dict[str, Any]:
    """What one look announces: the task's entries by id."""
    number = announce(site.catalog, found, found.get("old"))
    with site.catalog.write() as session:
        taken = notices.take(session.connection)
    tasks = {task["task_id"]: task for one in taken for task in json.loads(one.details)["tasks"]}
    assert number == sum(json.loads(one.details)["total"] for one in taken)
    return tasks


def pass_time(site: Site, by: timedelta) -> None:
    """Nothing is as it was: each task is so much older."""
    for row in site.store.query("SELECT task_id, created_at, completed_at FROM data_pipeline_tasks"):
        stamps = [wall_time(row[name]) for name in ("created_at", "completed_at")]
        older = [stamp - by for stamp in stamps if stamp is not None]
        statement = "UPDATE data_pipeline_tasks SET created_at = ?, completed_at = ? WHERE task_id = ?"
        site.store.query(statement, [*older, row["task_id"]])


def test_what_goes_within_the_time_is_announced_with_its_date_and_the_rest_is_not(site: Site, tmp_path: Path) -> None:
    aged(site, "due_now", 40)
    aged(site, "due_tomorrow", 29, by_user="alice", db_name="analytics")
    aged(site, "due_in_three_days", 27)
    aged(site, "golden_1", 29)
    aged(site, "busy", 29, status="in_progress")
    aged(site, "held_for_long", 29)
    aged(site, "held_until_tomorrow", 29)
    site.hold("held_for_long")
    site.hold("held_until_tomorrow", until=clock.now() + timedelta(days=1))

    tasks = look(site, policies(tmp_path / "p"))

    assert tasks.keys() == {"due_now", "due_tomorrow", "held_until_tomorrow"}
    assert tasks["due_now"]["due_at"] is None
    due = datetime.fromisoformat(tasks["due_tomorrow"]["due_at"])
    assert abs(due - clock.now() - timedelta(days=1)) < timedelta(minutes=5)
    assert (tasks["due_tomorrow"]["user"], tasks["due_tomorrow"]["database"]) == ("alice", "analytics")


@pytest.mark.parametrize(
    ("match", "extra"),
    [
        (OLD, ""),
        (OLD, "keep: {last: 2, per: [user], min_age: 29d}"),
        ("{any: [{status: failed}, {all: [{older_than: 29d}, {not: {user: [alice]}}]}]}", ""),
        ("{all: [{newer_than: 30d}, {older_than: 27d}]}", ""),
    ],
    ids=["age", "keep", "or", "window"],
)
def test_a_sweep_at_that_time_takes_what_was_announced(site: Site, tmp_path: Path, match: str, extra: str) -> None:
    for number in range(40):
        status = ("completed", "failed", "in_progress")[number % 3]
        aged(site, f"task_{number:02}", 26 + number / 8, status=status, by_user=("alice", "bob")[number % 2])
    found = policies(tmp_path / "p", match, extra=extra)
    announced = look(site, found).keys()
    sweeper = site.sweeper()

    def sweep() -> set[str]:
        report = sweeper.sweep(found, found.get("old"), Trigger.SWEEP, "policy:old")
        return {outcome.task_id for outcome in report.deleted}

    gone = sweep()
    pass_time(site, HORIZON)
    gone |= sweep()
    assert gone == announced
    assert gone


def test_each_is_announced_once(site: Site, tmp_path: Path) -> None:
    found = policies(tmp_path / "p")
    aged(site, "one", 29)
    assert look(site, found).keys() == {"one"}
    assert look(site, found).keys() == set()
    aged(site, "two", 29)
    assert look(site, found).keys() == {"two"}, "over a restart too: nothing is kept but in the database"


def test_one_that_drops_out_and_comes_back_is_announced_again_once_its_announcement_is_old(
    site: Site, tmp_path: Path
) -> None:
    found = policies(tmp_path / "p")
    aged(site, "task", 29)
    look(site, found)
    hold = site.hold("task")
    assert look(site, found).keys() == set()
    site.holds.release(hold.hold.hold_id, "test")
    assert look(site, found).keys() == set(), "what was said still holds true"

    hold = site.hold("task")
    _announced_before(site, HORIZON + timedelta(minutes=1))
    assert look(site, found).keys() == set()
    site.holds.release(hold.hold.hold_id, "test")
    assert look(site, found).keys() == {"task"}
    _announced_before(site, HORIZON * 10)
    assert look(site, found).keys() == set(), "it has been due all the time"


@pytest.mark.parametrize("off", ["observe", "disabled", "suspended"])
def test_where_nothing_went_for_a_while_what_was_announced_long_ago_is_announced_again(
    site: Site, tmp_path: Path, off: str
) -> None:
    found = policies(tmp_path / "p")
    idle = found if off == "suspended" else policies(tmp_path / "q", mode=off)

    def goes_on_after_a_while() -> set[str]:
        if off == "suspended":
            _suspend(site, found.get("old"))
        assert look(site, idle) == {}
        site.sweeper().suspensions.lift("old", "test")
        return set(look(site, found))

    aged(site, "task", 29)
    assert look(site, found).keys() == {"task"}
    assert goes_on_after_a_while() == set(), "what was said still holds true"
    _announced_before(site, HORIZON + timedelta(minutes=1))
    assert goes_on_after_a_while() == {"task"}


def _announced_before(site: Site, age: timedelta) -> None:
    moment = clock.now() - age
    given = moment.replace(tzinfo=None) if site.store.sqlite else moment
    site.store.query("UPDATE sweepd_announcements SET announced_at = ?", [given])


@pytest.mark.parametrize("mode", ["observe", "disabled"])
def test_where_nothing_goes_nothing_is_announced(site: Site, tmp_path: Path, mode: str) -> None:
    aged(site, "task", 29)
    assert look(site, policies(tmp_path / "p", mode=mode)) == {}
    assert look(site, policies(tmp_path / "p")).keys() == {"task"}


def test_a_suspended_policy_announces_nothing_until_it_goes_on(site: Site, tmp_path: Path) -> None:
    aged(site, "task", 29)
    found = policies(tmp_path / "p")
    _suspend(site, found.get("old"))
    assert look(site, found) == {}
    site.sweeper().suspensions.lift("old", "test")
    assert look(site, found).keys() == {"task"}


def _suspend(site: Site, policy: Policy) -> None:
    with site.catalog.write() as session:
        sweeps.remember(session.connection, policy.name)
        suspensions.suspend(session.connection, policy.name, "it failed", policy.digest)


def test_of_many_some_are_named_and_all_are_counted(site: Site, tmp_path: Path) -> None:
    for number in range(60):
        site.store.add_task(f"task_{number:02}", status="completed", completed_at="2020-01-01 00:00:00")
    found = policies(tmp_path / "p")
    assert announce(site.catalog, found, found.get("old")) == 60
    with site.catalog.write() as session:
        (one,) = notices.take(session.connection)
    details = json.loads(one.details)
    assert (details["total"], details["omitted"], len(details["tasks"])) == (60, 10, 50)
    assert "60 tasks go within 2d (" in one.text
