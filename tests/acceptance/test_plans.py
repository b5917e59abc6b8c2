"""Plans as a person uses them: saved, reviewed, applied; another date; one task explained; what sweeps did."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
import requests

from support.daemons import Installation
from support.stores import Store
from support.trees import fill

POLICIES = """
version: 1
policies:
  - name: old
    mode: {mode}
    match: {{all: [{{status: completed}}, {{older_than: 30d}}]}}
    action: {{delete: directory}}
"""


def add(site: Installation, task_id: str, completed_at: datetime) -> None:
    Store(site.url).add_task(task_id, status="completed", completed_at=completed_at)
    fill(site.root / task_id)


def names(site: Installation) -> set[str]:
    return {path.name for path in site.root.iterdir()} - {".sweepd"}


def filled(installation: Installation) -> Installation:
    installation.write_policies(POLICIES.format(mode="observe"))
    for number in range(3):
        add(installation, f"task_{number}", datetime(2025, 1, number + 1))
    add(installation, "task_later", datetime(2999, 1, 1, 10))
    return installation


@pytest.fixture
def site(installation: Installation) -> Installation:
    return filled(installation)


@pytest.fixture
def sqlite_site(tmp_path: Path) -> Installation:
    """What needs no second database: each process takes a while to start."""
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3")
    made.run("init")
    return filled(made)


def test_what_was_reviewed_goes_and_what_has_changed_is_named(site: Installation) -> None:
    shown = site.run("plan", "old", "--save", "--no-sizes").stdout
    [digest] = [line.removeprefix("saved as plan ") for line in shown.splitlines() if line.startswith("saved as plan ")]
    again = json.loads(site.run("plan", "old", "--save", "--json").stdout)["plans"][0]
    assert (again["digest"], again["saved"]) == (digest, True)
    refused = site.run("sweep", "old", "--plan", digest, check=False)
    assert (refused.returncode, "set mode: enforce" in refused.stderr) == (8, True)

    site.write_policies(POLICIES.format(mode="enforce"))
    Store(site.url).query("UPDATE data_pipeline_tasks SET status = 'in_progress' WHERE task_id = 'task_1'")
    add(site, "task_new", datetime(2025, 1, 1))
    done = site.run("sweep", "old", "--plan", digest[:8], "--json", check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 4, "what was reviewed did not all go"
    assert (sorted(report["deleted"]), report["plan_digest"]) == (["task_0", "task_2"], digest)
    assert [(one["task_id"], one["code"]) for one in report["dropped"]] == [("task_1", "TASK_RUNNING")]
    assert names(site) == {"task_1", "task_later", "task_new"}

    listed = json.loads(site.run("sweeps", "old", "--json", cold=True).stdout)["sweeps"]
    assert [one["report"] for one in listed] == [report]
    assert report["sweep_id"] in site.run("sweeps").stdout

    site.write_policies(POLICIES.format(mode="enforce").replace("30d", "31d"))
    outdated = site.run("sweep", "old", "--plan", digest, check=False)
    assert (outdated.returncode, "has changed since plan" in outdated.stderr) == (8, True)
    unknown = site.run("sweep", "old", "--plan", "ffffffff", check=False)
    assert (unknown.returncode, "there is no plan" in unknown.stderr) == (2, True)
    assert names(site) == {"task_1", "task_later", "task_new"}


def test_a_plan_of_another_date_shows_what_time_will_bring(sqlite_site: Installation) -> None:
    now = sqlite_site.run("plan", "old", "--no-sizes").stdout
    assert "3 of 4 tasks go" in now
    assert "2999-01-31 10:00" in now
    before, at = ("2999-01-31T09:59", "2999-01-31T10:00")
    assert "3 of 4 tasks go" in sqlite_site.run("plan", "old", "--no-sizes", "--at", before).stdout
    assert "4 of 4 tasks go" in sqlite_site.run("plan", "old", "--no-sizes", "--at", at).stdout
    assert "0 of 4 tasks go" in sqlite_site.run("plan", "old", "--no-sizes", "--at", "2025-01-01").stdout
    wrong = sqlite_site.run("plan", "--at", "tomorrow", check=False)
    assert (wrong.returncode, "not a date: write 2026-12-31" in wrong.stderr) == (2, True)
    both = sqlite_site.run("plan", "old", "--at", at, "--save", check=False)
    assert (both.returncode, "cannot be applied" in both.stderr) == (2, True)
    assert len(names(sqlite_site)) == 4


def test_one_task_is_explained_clause_by_clause(sqlite_site: Installation) -> None:
    shown = sqlite_site.run("explain", "task_later", cold=True).stdout
    assert "stays (not_matched)" in shown
    assert "could go at the earliest: 2999-01-31 10:00" in shown
    assert "match.all[1].older_than\tolder than 30d by completed" in shown
    document = json.loads(sqlite_site.run("explain", "task_later", "--at", "2999-02-01", "--json").stdout)
    assert document["policies"][0]["decision"]["verdict"] == "selected"
    none = sqlite_site.run("explain", "nothing", check=False)
    assert (none.returncode, "there is no task nothing" in none.stderr) == (4, True)


def test_the_running_daemon_plans_and_sweeps_by_hand(site: Installation) -> None:
    site.write_policies(POLICIES.format(mode="enforce"))
    with site.daemon() as daemon:
        policies = daemon.get("/api/v0/policies").json()["data"]["policies"]
        planned = daemon.get("/api/v0/policies/old/plan").json()["data"]
        stored = requests.post(f"{daemon.address}/api/v0/policies/old/plans", timeout=30).json()["data"]
        body = {"confirm": True, "plan": stored["digest"]}
        swept = requests.post(f"{daemon.address}/api/v0/policies/old/sweeps", json=body, timeout=60)
        explained = daemon.get("/api/v0/data_pipeline/tasks/task_later/explain").json()["data"]
        remembered = daemon.get(f"/api/v0/sweeps/{swept.json()['data']['sweep_id']}").json()["data"]
    assert [one["name"] for one in policies] == ["old"]
    assert planned["digest"] == stored["digest"]
    assert (swept.status_code, swept.json()["message"]) == (200, "清理完成")
    assert names(site) == {"task_later"}
    assert explained["policies"][0]["decision"]["eligible"]["at"].startswith("2999-01-31T10:00")
    assert remembered["report"]["deleted_count"] == 3


def test_policy_tests_need_no_database_and_their_exit_status_tells(tmp_path: Path) -> None:
    made = Installation(tmp_path / "site", "postgresql://nobody@127.0.0.1:1/nothing", POLICIES.format(mode="observe"))
    case = made.folder / "case.yaml"
    text = """
policies: policies
now: 2026-06-01
tasks: [{task_id: task_1, status: completed, completed_at: 2026-01-01}]
expect: {old: {goes: [task_1]}}
"""
    case.write_text(text, encoding="utf-8")
    assert "1 decisions as expected" in made.run("test", str(case), cold=True).stdout
    case.write_text(text.replace("2026-06-01", "2026-01-02"), encoding="utf-8")
    differs = made.run("test", str(case), "--json", check=False)
    [difference] = json.loads(differs.stdout)["files"][0]["differences"]
    assert (differs.returncode, difference["task_id"], difference["expected"]) == (1, "task_1", "goes")
    case.write_text(text.replace("goes", "gone"), encoding="utf-8")
    wrong = made.run("test", str(case), check=False)
    assert (wrong.returncode, f"{case}:5:16: unknown key `gone`" in wrong.stderr) == (3, True)
    for nothing in ("tasks: []\nexpect: {}", "tasks: []\nexpect: {old: {goes: []}}"):
        case.write_text(f"policies: policies\nnow: 2026-06-01\n{nothing}\n", encoding="utf-8")
        empty = made.run("test", str(case), check=False)
        assert (empty.returncode, f"{case}:1:1: expects nothing of any task" in empty.stderr) == (3, True), empty.stderr
