"""Tasks that a policy cannot delete, on both databases: each is its policy's failure once, and then waits by itself."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from daemon import clock
from daemon.catalog import suspensions, sweeps, task_failures
from daemon.deletion.models import Trigger
from daemon.errors import ErrorCode
from daemon.notify.notices import of_sweep
from daemon.policy.models import PolicySet
from daemon.sweep import stored
from daemon.sweep.explanation import explain
from daemon.sweep.plan import make_plan
from daemon.sweep.report import SweepOutcome, SweepReport
from support.inventories import scan, scanned
from support.judging import policy_set
from support.logs import logged
from support.site import Site, opened, request

pytestmark = pytest.mark.costly

LONG_AGO = "2024-01-01 00:00:00"
HOUR = timedelta(hours=1)


def policies(**options: Any) -> PolicySet:
    return policy_set({"older_than": "30d"}, **{"mode": "enforce", **options})


def sweep(site: Site, policies: PolicySet, **options: Any) -> SweepReport:
    return site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "policy:policy", **options)


def good(site: Site, *names: str) -> None:
    for name in names:
        site.task(name, steps=0, created_at=LONG_AGO, completed_at="2024-01-02 00:00:00")


def link(site: Site, name: str) -> None:
    """A task that cannot go: a symbolic link has taken its directory's place. It is older than the good ones."""
    site.task(name, steps=0, created_at=LONG_AGO, completed_at=LONG_AGO)
    os.rename(site.path / name, site.path / f"was-{name}")
    (site.path / name).symlink_to(site.path / f"was-{name}")


def mend(site: Site, name: str) -> None:
    (site.path / name).unlink()
    os.rename(site.path / f"was-{name}", site.path / name)


@pytest.fixture
def notes(site: Site) -> Iterator[None]:
    """Another table of the database, whose rows keep those of tasks."""
    site.store.query("CREATE TABLE notes (task_id varchar(128) REFERENCES data_pipeline_tasks (task_id))")
    yield
    site.store.query("DROP TABLE notes")


def refer(site: Site, name: str) -> None:
    """A task whose row cannot be deleted."""
    site.task(name, steps=0, created_at=LONG_AGO, completed_at=LONG_AGO)
    site.store.query("INSERT INTO notes VALUES (?)", [name])


def due_now(site: Site) -> None:
    """As if every pause were over."""
    past = clock.now() - HOUR
    site.store.query(
        "UPDATE sweepd_task_failures SET next_at = ?", [past.replace(tzinfo=None) if site.store.sqlite else past]
    )


def told(site: Site) -> Counter[str]:
    """The notices about sweeps since the last time, by type."""
    with site.catalog.write() as session:
        records = sweeps.take_unnoticed(session.connection, since=clock.now() - timedelta(days=1), limit=1000)
    made = [of_sweep(record) for record in records]
    assert all(" failed (" in one.text for one in made if one.type == "sweep.failed"), "it says what failed, and why"
    return Counter(one.type for one in made)


@pytest.mark.parametrize("obstacle", ["symbolic link", "foreign key"])
@pytest.mark.usefixtures("notes")
def test_one_immovable_task_through_fifty_sweeps_suspends_nothing_and_is_told_once(site: Site, obstacle: str) -> None:
    if obstacle == "symbolic link":
        link(site, "immovable")
        chosen, code = policies(), ErrorCode.UNSAFE_DIRECTORY
    else:
        refer(site, "immovable")
        chosen, code = policies(delete="directory_and_records"), ErrorCode.RECORDS_IN_USE
    notices: Counter[str] = Counter()
    outcomes = []
    with logged() as log:
        for number in range(50):
            if number % 5 == 4:  # between them several sweeps have nothing but the immovable one
                good(site, *(f"good_{number}_{index}" for index in range(2)))
            if number % 3 == 2:
                due_now(site)
            report = sweep(site, chosen)
            outcomes.append(report.outcome)
            notices += told(site)
    assert outcomes == [SweepOutcome.FAILED, *[SweepOutcome.SUCCESS] * 49]
    assert notices == {"sweep.failed": 1, "sweep.finished": 49}
    assert site.metric("sweepd_policy_suspended", policy="policy") == 0
    assert site.metric("sweepd_policy_failing_tasks", policy="policy") == 1
    assert not site.store.query("SELECT name FROM sweepd_policies WHERE suspended_at IS NOT NULL")
    assert not list(site.path.glob("good_*")), "the others went"
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    [event] = [one for one in lines if one["event"] == "tasks_failing"]
    assert (event["task_ids"], event["error"], event["level"]) == (["immovable"], code, "warning")
    with site.catalog.read() as session:
        failure = task_failures.find(session.connection, chosen.policies[0])["immovable"]
    assert (failure.code, failure.times) == (code, 17)


def test_plan_and_explanation_say_why_it_waits_and_until_when(site: Site) -> None:
    link(site, "immovable")
    chosen = policies()
    sweep(site, chosen)
    plan = make_plan(site.catalog, chosen, chosen.policies[0], max_stays=None)
    assert (plan.goes, dict(plan.stay_counts)) == ((), {"backing_off": 1})
    [decision] = plan.stays
    assert decision.reason.startswith("failed once, tried again at ")
    assert "symbolic link" in decision.reason
    assert decision.eligible is not None
    assert decision.eligible.at is not None
    assert abs(decision.eligible.at - clock.now() - HOUR) < timedelta(minutes=5)
    later = make_plan(site.catalog, chosen, chosen.policies[0], at=decision.eligible.at)
    assert [one.task.task_id for one in later.goes] == ["immovable"]
    [answer] = explain(site.catalog, chosen, "immovable").answers
    assert answer.decision is not None
    assert answer.decision.reason == decision.reason


def test_a_failure_by_a_clock_that_was_ahead_keeps_no_task(site: Site) -> None:
    link(site, "immovable")
    chosen = policies()
    sweep(site, chosen)
    ahead = clock.now() + timedelta(days=30)
    stamp = ahead.replace(tzinfo=None) if site.store.sqlite else ahead
    site.store.query("UPDATE sweepd_task_failures SET last_at = ?, next_at = ?", [stamp, stamp])
    assert len(sweep(site, chosen).failed_again) == 1
    assert sweep(site, chosen).selected == 0


def test_pauses_grow_to_a_week() -> None:
    assert [task_failures.pause(times) for times in (1, 2, 3, 8)] == [HOUR, 2 * HOUR, 4 * HOUR, 128 * HOUR]
    assert {task_failures.pause(times) for times in (9, 60, 10_000)} == {timedelta(days=7)}


def test_it_is_remembered_over_a_restart_and_forgotten_when_it_goes(site: Site) -> None:
    link(site, "immovable")
    chosen = policies()
    sweep(site, chosen)
    with opened(site.store, site.path) as again:
        assert sweep(again, chosen).selected == 0
    mend(site, "immovable")
    site.engine.delete(request("immovable"))  # a person does not wait
    assert not (site.path / "immovable").exists()
    sweep(site, chosen)
    assert site.store.query("SELECT * FROM sweepd_task_failures") == []
    assert site.metric("sweepd_policy_failing_tasks", policy="policy") == 0


@pytest.mark.parametrize("what", ["task", "policy", "resumed", "retried"])
def test_it_is_tried_at_once_when_task_or_policy_change_or_somebody_says_so(site: Site, what: str) -> None:
    link(site, "immovable")
    chosen = policies()
    sweep(site, chosen)
    assert sweep(site, chosen).selected == 0
    mend(site, "immovable")
    if what == "task":
        site.store.query("UPDATE data_pipeline_tasks SET status = 'failed' WHERE task_id = 'immovable'")
    elif what == "policy":
        chosen = policies(keep={"min_age": "1d"})
    elif what == "resumed":
        assert site.sweeper().suspensions.retry("policy") == 1
    report = sweep(site, chosen, retry=what == "retried")
    assert [outcome.task_id for outcome in report.deleted] == ["immovable"]
    assert site.store.query("SELECT * FROM sweepd_task_failures") == []


def test_a_row_that_changes_all_the_time_is_tried_each_time_and_is_no_new_failure(site: Site) -> None:
    link(site, "immovable")
    chosen = policies()
    outcomes = []
    for number in range(5):
        site.store.query(
            "UPDATE data_pipeline_tasks SET completed_at = ? WHERE task_id = 'immovable'",
            [f"2024-01-01 0{number}:00:00"],
        )
        outcomes.append((sweep(site, chosen).outcome, told(site)["sweep.failed"]))
    assert outcomes == [(SweepOutcome.FAILED, 1), *[(SweepOutcome.SUCCESS, 0)] * 4]


@pytest.mark.usefixtures("notes")
def test_another_kind_of_failure_is_a_new_one(site: Site) -> None:
    link(site, "immovable")
    chosen = policies(delete="directory_and_records")
    sweep(site, chosen)
    mend(site, "immovable")
    site.store.query("INSERT INTO notes VALUES ('immovable')")
    due_now(site)
    report = sweep(site, chosen)
    assert (report.outcome, [one.code for one in report.failed]) == (SweepOutcome.FAILED, [ErrorCode.RECORDS_IN_USE])
    assert told(site)["sweep.failed"] == 2


@pytest.mark.parametrize("on_exceed", ["truncate", "abort"])
def test_a_known_failure_takes_no_place_of_a_limit(site: Site, on_exceed: str) -> None:
    for index in range(8):
        link(site, f"immovable_{index}")
    chosen = policies(limits={"max_tasks": 8, "on_exceed": on_exceed})
    assert len(sweep(site, chosen).failed) == 8
    good(site, *(f"good_{index}" for index in range(6)))
    due_now(site)
    report = sweep(site, chosen)
    assert (report.outcome, len(report.deleted), len(report.failed_again)) == (SweepOutcome.SUCCESS, 6, 2)
    good(site, *(f"later_{index}" for index in range(9)))
    due_now(site)
    report = sweep(site, chosen)
    if on_exceed == "abort":
        assert (report.outcome, report.limits) == (SweepOutcome.BLOCKED, ["max_tasks"])
        assert "9 tasks are selected" in str(report.error)
    else:
        assert (report.outcome, len(report.deleted), report.failed_again) == (SweepOutcome.SUCCESS, 8, [])


def test_what_is_tried_again_does_not_count_as_an_error(site: Site) -> None:
    for index in range(20):
        link(site, f"immovable_{index:02}")
    chosen = policies(limits={"max_error_percent": 10})
    for _ in range(2):
        sweep(site, chosen)
    due_now(site)
    good(site, "good")
    report = sweep(site, chosen)
    assert (report.outcome, report.limits) == (SweepOutcome.SUCCESS, [])
    assert (len(report.failed_again), [outcome.task_id for outcome in report.deleted]) == (20, ["good"])
    assert site.metric("sweepd_sweep_tasks_total", policy="policy", outcome="failed_again") == 20


def test_a_policy_whose_new_tasks_all_fail_is_suspended_all_the_same(site: Site) -> None:
    chosen = policies()
    for number in range(3):
        assert site.metric("sweepd_policy_suspended", policy="policy") == 0
        sweep(site, chosen)  # says nothing
        link(site, f"immovable_{number}")
        sweep(site, chosen)
    assert site.metric("sweepd_policy_suspended", policy="policy") == 1
    assert site.sweeper().suspensions.lift("policy", "test")
    with site.catalog.read() as session:
        assert suspensions.find(session.connection, "policy") is None
    assert sweep(site, chosen).selected == 3, "who resumes it wants them tried"


def test_a_reviewed_plan_tries_what_has_failed_since(site: Site) -> None:
    link(site, "immovable")
    chosen = policies()
    plan = make_plan(site.catalog, chosen, chosen.policies[0])
    digest = stored.save(site.catalog, plan, "test")
    sweep(site, chosen)
    loaded = stored.load(site.catalog, chosen.policies[0], digest)
    again = sweep(site, chosen, plan=loaded)
    assert (again.selected, [one.task_id for one in again.failed_again]) == (1, ["immovable"])
    mend(site, "immovable")
    report = sweep(site, chosen, plan=loaded)
    assert [outcome.task_id for outcome in report.deleted] == ["immovable"]


@pytest.mark.usefixtures("notes")
def test_orphans_and_records_that_cannot_go_are_known_as_well(site: Site) -> None:
    site.task("task", steps=0)
    site.directory("orphan")
    scanned(site, "task", "orphan", ago=2 * HOUR)
    scan(site, directories=2, orphans=1, ago=HOUR)
    refer(site, "record")
    site.store.query("UPDATE data_pipeline_tasks SET directory_exists = ? WHERE task_id = 'record'", [False])
    shutil.rmtree(site.path / "record")
    os.rename(site.path / "orphan", site.path.with_name("was-orphan"))
    (site.path / "orphan").symlink_to(site.path.with_name("was-orphan"))
    orphans = policy_set({"task_id": {"glob": "orphan"}}, mode="enforce", source="orphans")
    records = policy_set({"task_id": {"glob": "record"}}, mode="enforce", delete="records")
    renamed = PolicySet(policies=(records.policies[0].model_copy(update={"name": "records"}),))
    for chosen in (orphans, renamed):
        first, second = sweep(site, chosen), sweep(site, chosen)
        assert (first.outcome, second.outcome) == (SweepOutcome.FAILED, SweepOutcome.SUCCESS), chosen
        assert dict(second.plan.stay_counts) == {"backing_off": 1}
        due_now(site)
        assert [one.task_id for one in sweep(site, chosen).failed_again] == [first.failed[0].task_id]
    site.store.query("UPDATE sweepd_inventory SET orphan_since = NULL, orphan_sightings = 0")
    sweep(site, orphans)
    assert [row["task_id"] for row in site.store.query("SELECT task_id FROM sweepd_task_failures")] == ["record"]


def test_the_record_of_a_sweep_names_what_failed_again(site: Site) -> None:
    link(site, "immovable")
    chosen = policies()
    sweep(site, chosen)
    due_now(site)
    report = sweep(site, chosen)
    [row] = site.store.query("SELECT failed, report FROM sweepd_sweeps WHERE sweep_id = ?", [report.sweep_id])
    document = json.loads(row["report"])
    assert (row["failed"], document["failed_count"], document["failed_again_count"]) == (0, 0, 1)
    assert [one["task_id"] for one in document["failed_again"]] == ["immovable"]


def test_so_many_are_remembered_and_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_failures, "KEPT", 3)
    for index in range(5):
        link(site, f"immovable_{index}")
    chosen = policies()
    assert len(sweep(site, chosen).failed) == 5
    assert len(site.store.query("SELECT * FROM sweepd_task_failures")) == 3
    assert len(sweep(site, chosen).failed) == 2


@pytest.mark.parametrize("task_id", ["..", "a/b", "日本", "a\tb"], ids=["..", "a slash", "no ASCII", "a tab"])
def test_what_is_no_task_id_neither_ends_the_sweep_nor_suspends_the_policy(site: Site, task_id: str) -> None:
    dates = dict.fromkeys(("created_at", "completed_at"), LONG_AGO)
    site.store.add_task(task_id, status="completed", **dates)
    chosen = policies()
    for number in range(5):
        good(site, f"good_{number}")
        due_now(site)
        assert [outcome.task_id for outcome in sweep(site, chosen).deleted] == [f"good_{number}"]
        sweep(site, chosen)
    assert told(site)["sweep.failed"] <= 1
