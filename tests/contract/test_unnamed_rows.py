"""Rows whose task id can name no directory, and directories that nobody may read, spoil nothing for the others."""

from __future__ import annotations

import sqlalchemy as sa

from daemon.catalog.patterns import is_task_id
from daemon.catalog.scans import Drift
from daemon.deletion.models import Trigger
from daemon.inventory.overview import drift_list, overview
from daemon.storage import names
from daemon.sweep.plan import make_plan
from support.judging import policy_set
from support.scanning import make_scanner
from support.site import Site

HOSTILE = [
    "..",
    ".",
    "",
    "a/b",
    "/",
    ".sweepd",
    "-a",
    "_a",
    " a",
    "a b",
    "a\n",
    "a\x1b[31m",
    "é",
    "aé",
    "a\u0301",
    "\u212a",
]
LONG = ["a" * 128, "a" * 129, "a" * 10_000]
GOOD = ["a", "A.b_c-9", "9", "a" * 32, "a..b", "a-", "Z", "zZ0"]
OLD = "2024-01-01 00:00:00"


def test_the_database_tells_a_task_id_as_the_storage_does(site: Site) -> None:
    every = [*HOSTILE, *LONG, *GOOD, *(chr(n) for n in range(1, 300)), *(f"a{chr(n)}b" for n in range(1, 300))]
    with site.catalog.read() as session:
        sqlite = session.connection.dialect.name == "sqlite"
        for text in [*every, *(["a\0", "a\0/b", "\0"] if sqlite else [])]:
            statement = sa.select(is_task_id(sa.literal(text, sa.Text), sqlite=sqlite))
            assert session.connection.execute(statement).scalar_one() == names.is_task_id(text), repr(text)
        null = sa.select(is_task_id(sa.cast(sa.null(), sa.Text), sqlite=sqlite))
        assert not session.connection.execute(null).scalar_one()


def test_what_was_never_a_task_id_is_no_candidate_and_is_told(site: Site) -> None:
    ids = [*HOSTILE, *(LONG if site.store.sqlite else [])]
    for task_id in ids:
        site.store.add_task(task_id, status="completed", created_at=OLD, completed_at=OLD, updated_at=OLD)
    site.task("task_1", status="completed", created_at=OLD, completed_at=OLD)
    if site.store.sqlite:  # which keeps whatever somebody wrote
        site.store.query("UPDATE data_pipeline_tasks SET task_id = x'2e2e' WHERE task_id = '..'")
    assert make_scanner(site).scan() is not None
    found = overview(site.catalog, 1).drift
    assert found is not None
    good = len(ids) - sum(not names.is_task_id(task_id) for task_id in ids)
    assert (found[Drift.UNNAMED], found[Drift.MISSING]) == (len(ids) - good, good)
    listed = drift_list(site.catalog, Drift.UNNAMED, 100)
    assert listed.total == len(listed.tasks) == len(ids) - good
    policies = policy_set({"older_than": "1d"}, mode="enforce")
    plan = make_plan(site.catalog, policies, policies.policies[0], max_stays=None)
    assert len(plan.goes) == plan.considered == 1 + good
    report = site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
    assert (report.failed, "task_1" in [one.task_id for one in report.deleted]) == ([], True)


def test_keep_last_counts_none_of_them(site: Site) -> None:
    site.store.add_task("../newest", status="completed", created_at="2024-06-01 00:00:00", completed_at=OLD)
    site.task("task_old", steps=0, status="completed", created_at="2024-01-01 00:00:00", completed_at=OLD)
    site.task("task_new", steps=0, status="completed", created_at="2024-02-01 00:00:00", completed_at=OLD)
    policies = policy_set({"older_than": "1d"}, mode="enforce", keep={"last": 1})
    report = site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
    assert [one.task_id for one in report.deleted] == ["task_old"]
