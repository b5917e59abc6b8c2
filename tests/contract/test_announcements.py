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
from daemon.sweep import stored
from daemon.sweep.explanation import explain
from daemon.sweep.plan import Decision, make_plan
from daemon.sweep.report import SweepReport
from support.inventories import scan, scanned
from support.logs import logged
from support.site import Site, opened
from support.stores import wall_time

pytestmark = pytest.mark.costly

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


def pass_notice(site: Site, by: timedelta) -> None:
    """As if everything had been announced so much earlier."""
    for row in site.store.query("SELECT policy, task_id, announced_at FROM sweepd_announcements"):
        at = row["announced_at"] if not site.store.sqlite else datetime.fromisoformat(row["announced_at"])
        statement = "UPDATE sweepd_announcements SET announced_at = ? WHERE policy = ? AND task_id = ?"
        site.store.query(statement, [at - by, row["policy"], row["task_id"]])


def sweep(site: Site, found: PolicySet) -> SweepReport:
    return site.sweeper().sweep(found, found.get("old"), Trigger.SWEEP, "policy:old")


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
    assert abs(datetime.fromisoformat(tasks["due_now"]["due_at"]) - clock.now() - HORIZON) < timedelta(minutes=5)
    due = datetime.fromisoformat(tasks["due_tomorrow"]["due_at"])
    assert abs(due - clock.now() - HORIZON) < timedelta(minutes=5), "no earlier, though it is old enough tomorrow"
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
    with site.catalog.read() as session:
        then = session.now.utc + HORIZON
    due = {
        one.task.task_id
        for one in make_plan(site.catalog, found, found.get("old"), at=then, backoff=False, notice=False).goes
    }
    announced = look(site, found).keys()
    assert sweep(site, found).deleted == [], "nothing was announced for long enough"
    pass_time(site, HORIZON)
    pass_notice(site, HORIZON)
    gone = {outcome.task_id for outcome in sweep(site, found).deleted}
    assert gone == due
    assert gone <= announced
    assert gone


def test_a_policy_that_begins_to_enforce_takes_nothing_before_it_was_announced_long_enough(
    site: Site, tmp_path: Path
) -> None:
    found = policies(tmp_path / "p")
    for number in range(20):
        aged(site, f"task_{number:02}", 40 + number)
    report = sweep(site, found)
    assert (report.deleted, dict(report.plan.stay_counts)) == ([], {"notice_period": 20})
    assert look(site, found).keys() == {f"task_{number:02}" for number in range(20)}
    for waited in (timedelta(0), HORIZON - timedelta(minutes=5)):
        pass_notice(site, waited)
        report = sweep(site, found)
        assert (report.deleted, dict(report.plan.stay_counts)) == ([], {"notice_period": 20})
        assert site.metric("sweepd_policy_kept_tasks", policy="old", reason="notice_period") == 20
    aged(site, "late", 40)
    assert look(site, found).keys() == {"late"}
    with opened(site.store, site.path) as restarted:
        assert sweep(restarted, found).deleted == []
    pass_notice(site, timedelta(minutes=10))
    report = sweep(site, found)
    assert (len(report.deleted), dict(report.plan.stay_counts)) == (20, {"notice_period": 1})


def test_plan_and_explanation_say_from_when_an_announced_task_goes(site: Site, tmp_path: Path) -> None:
    found = policies(tmp_path / "p")
    aged(site, "task", 40)

    def stays() -> Decision:
        [decision] = make_plan(site.catalog, found, found.get("old"), max_stays=None).stays
        [answer] = explain(site.catalog, found, "task").answers
        assert answer.decision is not None
        assert answer.decision.reason == decision.reason
        return decision

    assert stays().reason == "not announced yet: it goes 2d after its announcement"
    look(site, found)
    decision = stays()
    assert decision.reason.startswith("announced at ")
    assert decision.eligible is not None
    at = decision.eligible.at
    assert at is not None
    assert f"goes from {at:%Y-%m-%dT%H:%M:%S}Z on" in decision.reason
    for instant, goes in ((at, True), (at - timedelta(seconds=1), False)):
        plan = make_plan(site.catalog, found, found.get("old"), at=instant)
        assert bool(plan.goes) == goes
    observing = policies(tmp_path / "q", mode="observe")
    assert len(make_plan(site.catalog, observing, observing.get("old")).goes) == 1, "it shows what matches"


def test_a_reviewed_plan_and_a_sweep_by_hand_wait_as_well(site: Site, tmp_path: Path) -> None:
    found, observing = policies(tmp_path / "p"), policies(tmp_path / "q", mode="observe")
    aged(site, "task", 40)
    plan = make_plan(site.catalog, observing, observing.get("old"))
    digest = stored.save(site.catalog, plan, "test")
    loaded = stored.load(site.catalog, found.get("old"), digest)
    report = site.sweeper().sweep(found, found.get("old"), Trigger.CLI, "cli:test", plan=loaded)
    assert [one.task_id for one in report.dropped] == ["task"]
    assert "not announced yet" in report.dropped[0].reason
    assert site.sweeper().sweep(found, found.get("old"), Trigger.CLI, "cli:test").deleted == []
    look(site, found)
    pass_notice(site, HORIZON)
    report = site.sweeper().sweep(found, found.get("old"), Trigger.CLI, "cli:test", plan=loaded)
    assert [outcome.task_id for outcome in report.deleted] == ["task"]


def test_what_was_announced_with_another_action_is_announced_anew(site: Site, tmp_path: Path) -> None:
    trashing = policies(tmp_path / "p")
    aged(site, "task", 40)
    look(site, trashing)
    pass_notice(site, HORIZON)
    (tmp_path / "p" / "p.yaml").write_text(
        (tmp_path / "p" / "p.yaml").read_text().replace("{trash: {retain: 7d}}", "{delete: directory}")
    )
    deleting = load_policies(tmp_path / "p", statuses=STATUSES)
    assert sweep(site, deleting).deleted == [], "seven days in the trash were announced"
    assert look(site, deleting).keys() == {"task"}
    assert sweep(site, deleting).deleted == []
    pass_notice(site, HORIZON)
    assert len(sweep(site, deleting).deleted) == 1


def test_a_longer_notice_holds_for_what_was_announced_before(site: Site, tmp_path: Path) -> None:
    found = policies(tmp_path / "p")
    aged(site, "task", 40)
    look(site, found)
    pass_notice(site, HORIZON)
    (tmp_path / "p" / "p.yaml").write_text((tmp_path / "p" / "p.yaml").read_text().replace("48h", "72h"))
    longer = load_policies(tmp_path / "p", statuses=STATUSES)
    assert sweep(site, longer).deleted == []
    pass_notice(site, timedelta(hours=24))
    assert len(sweep(site, longer).deleted) == 1


def test_an_announcement_by_a_clock_that_was_ahead_is_made_anew(site: Site, tmp_path: Path) -> None:
    found = policies(tmp_path / "p")
    aged(site, "task", 40)
    look(site, found)
    pass_notice(site, -timedelta(days=30))
    assert sweep(site, found).deleted == []
    assert look(site, found).keys() == {"task"}
    pass_notice(site, HORIZON)
    assert len(sweep(site, found).deleted) == 1


def test_sweeps_that_waited_are_not_what_is_usual(site: Site, tmp_path: Path) -> None:
    found = policies(tmp_path / "p", extra="limits: {max_times_usual: 2}")
    for number in range(6):
        aged(site, f"task_{number}", 40)
    look(site, found)
    for _ in range(4):
        assert sweep(site, found).deleted == []
    pass_notice(site, HORIZON)
    assert len(sweep(site, found).deleted) == 6


def test_a_clock_of_this_machine_that_is_behind_makes_no_announcement_old(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = policies(tmp_path / "p")
    aged(site, "unannounced", 400)
    present = clock.now
    monkeypatch.setattr("daemon.clock.now", lambda: present() - timedelta(days=3))
    assert make_plan(site.catalog, found, found.get("old")).goes == ()
    look(site, found)
    assert make_plan(site.catalog, found, found.get("old")).goes == ()


def test_orphans_are_held_back_as_well(site: Site, tmp_path: Path) -> None:
    site.task("task", steps=0)
    site.directory("orphan")
    scanned(site, "task", "orphan", ago=timedelta(days=1))
    scan(site, directories=2, orphans=1, ago=timedelta(hours=1))
    found = policies(tmp_path / "p", "{task_id: {glob: orphan}}", extra="source: orphans")
    assert sweep(site, found).deleted == []
    assert look(site, found).keys() == {"orphan"}
    assert sweep(site, found).deleted == []
    pass_notice(site, HORIZON)
    assert [outcome.task_id for outcome in sweep(site, found).deleted] == ["orphan"]


def test_what_waits_after_a_failure_stays_announced(site: Site, tmp_path: Path) -> None:
    found = policies(tmp_path / "p")
    aged(site, "task", 40)
    look(site, found)
    pass_notice(site, HORIZON * 2)
    (site.path / "task").rename(site.path / "was-task")
    (site.path / "task").symlink_to(site.path / "was-task")
    assert len(sweep(site, found).failed) == 1
    assert look(site, found).keys() == set()
    assert site.sweeper().suspensions.retry("old") == 1
    assert len(sweep(site, found).failed) == 1, "its announcement still holds"


def test_without_a_webhook_the_log_announces_and_no_notice_is_kept(site: Site, tmp_path: Path) -> None:
    found = policies(tmp_path / "p")
    aged(site, "task", 40)
    with logged() as log:
        assert announce(site.catalog, found, found.get("old"), tell=False) == 1
    [event] = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (event["event"], event["policy"], event["task_ids"]) == ("tasks_announced", "old", ["task"])
    assert site.store.query("SELECT * FROM sweepd_notices") == []
    pass_notice(site, HORIZON)
    assert len(sweep(site, found).deleted) == 1


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
