"""Folders of policies: what loads, and for each rule the exact words of its refusal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from daemon.errors import DocumentError
from daemon.policy.loader import load_policies
from daemon.policy.models import (
    Action,
    Age,
    Condition,
    Glob,
    Keep,
    Limits,
    Mode,
    Notify,
    PolicySet,
    Schedule,
    SizeRange,
    Trash,
)

STATUSES = ("pending", "in_progress", "running", "partial_completed", "completed", "failed")
FIXTURES = Path(__file__).parents[2] / "policies"
SHIPPED = Path(__file__).parents[3] / "policies"


def load(folder: Path) -> PolicySet:
    return load_policies(folder, statuses=STATUSES)


def refusal(folder: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        load(folder)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("path", sorted((FIXTURES / "bad").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bad_file_is_refused_in_these_words(path: Path, tmp_path: Path) -> None:
    (tmp_path / path.name).write_bytes(path.read_bytes())
    assert refusal(tmp_path) + "\n" == path.with_suffix(".expected").read_text()


def test_every_expectation_belongs_to_a_bad_file() -> None:
    bad = FIXTURES / "bad"
    assert {path.stem for path in bad.glob("*.expected")} == {path.stem for path in bad.glob("*.yaml")}


def test_a_good_folder_loads_as_written() -> None:
    policies = load(FIXTURES / "good")
    assert [policy.name for policy in policies.policies] == ["everything-goes", "finished", "forgotten"]
    assert [protect.name for protect in policies.protect] == ["golden"]

    everything = policies.get("everything-goes")
    assert everything.match == Condition()
    assert everything.keep == Keep(min_age=timedelta(seconds=90))

    finished = policies.get("finished")
    assert finished.description == "Finished tasks keep their files for a month.\n"
    assert finished.mode is Mode.ENFORCE
    assert finished.schedule == Schedule(cron="15 3 * * 1-5", timezone="Asia/Shanghai", jitter=timedelta(minutes=10))
    assert finished.match == Condition(
        all=(
            Condition(status=("completed", "failed")),
            Condition(older_than=Age(age=timedelta(days=30), by="updated")),
            Condition(not_=Condition(user=("alice", "no"))),
            Condition(
                any=(
                    Condition(database=("analytics",)),
                    Condition(newer_than=Age(age=timedelta(hours=36), by="created")),
                )
            ),
        )
    )
    assert finished.catch_up
    assert finished.keep == Keep(last=5, per=("database", "user"), min_age=timedelta(hours=12))
    assert finished.limits == Limits(max_tasks=500, on_exceed="truncate")
    assert finished.action == Action(delete="directory_and_records")

    assert policies.get("forgotten").match == Condition(
        directory="missing", older_than=Age(age=timedelta(days=365)), status=("failed",)
    )
    assert policies.protect[0].match == Condition(
        any=(
            Condition(task_id=Glob(glob=("golden-*",))),
            Condition(task_name=Glob(glob=("*-golden", "release-?"))),
        )
    )


def test_every_part_of_the_language_loads_as_written() -> None:
    policies = load(FIXTURES / "whole")
    assert [protect.name for protect in policies.protect] == ["golden-runs"]
    finished, pressure, orphans, records = policies.policies

    assert finished.limits is not None
    assert finished.limits.max_bytes == 500 * 10**9
    assert finished.limits.model_dump(exclude={"max_bytes", "max_times_usual"}) == {
        "max_tasks": 500,
        "max_percent": 20,
        "max_error_percent": 10,
        "on_exceed": "abort",
    }
    assert finished.match.all is not None
    assert finished.match.all[3].any == (
        Condition(size=SizeRange.model_validate({"gte": "100MB"})),
        Condition(database=("analytics",)),
    )
    assert finished.action == Action(trash=Trash(retain=timedelta(days=7)))
    assert finished.notify == Notify(before=timedelta(hours=48))
    assert finished.order == ("oldest",)

    assert pressure.quota is not None
    assert (pressure.quota.of, pressure.quota.measure) == ("filesystem", "bytes")
    assert (pressure.quota.high.percent, pressure.quota.low.percent) == (85, 70)
    assert pressure.order == ("oldest", "largest")
    assert pressure.keep == Keep(min_age=timedelta(hours=12))

    assert (finished.source, orphans.source) == ("tasks", "orphans")
    assert orphans.match == Condition(older_than=Age(age=timedelta(days=3), by="first_seen"))

    assert records.schedule == Schedule(cron="0 4 * * sun")
    assert records.match.all == (
        Condition(directory="missing"),
        Condition(older_than=Age(age=timedelta(days=365), by="updated")),
    )
    assert records.mode is Mode.OBSERVE


def test_the_shipped_policies_load_and_only_observe() -> None:
    policies = load(SHIPPED)
    assert {policy.mode for policy in policies.policies} == {Mode.OBSERVE}
    assert all(policy.schedule and policy.limits for policy in policies.policies)
    assert "task_name" not in policies.model_dump_json(exclude_none=True)
    assert [protect.name for protect in policies.protect] == ["golden-runs"]


def test_a_folder_without_a_file_has_no_policies(tmp_path: Path) -> None:
    (tmp_path / ".hidden.yaml").write_text("[")
    (tmp_path / "notes.txt").write_text("[")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x.yaml").write_text("[")
    assert load(tmp_path) == PolicySet()


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == (
        f"{tmp_path}/absent:1:1: the policies folder cannot be read: no such file or directory;"
        " create it, or correct `policies` in the configuration"
    )


def test_something_else_than_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.yml").symlink_to("absent")
    assert refusal(tmp_path).splitlines() == [
        "a.yaml:1:1: the file cannot be read: not a regular file",
        "b.yml:1:1: the file cannot be read: no such file or directory",
    ]


def test_problems_of_all_files_are_reported_with_the_names_they_share(tmp_path: Path) -> None:
    entry = "{name: old, match: {status: failed}, action: {delete: records}}"
    protect = "{name: golden, match: {user: alice}}"
    (tmp_path / "a.yaml").write_text(f"version: 1\npolicies: [{entry}]\nprotect: [{protect}]\n")
    (tmp_path / "b.yaml").write_text("version: 1\npolicies: 5\n")
    (tmp_path / "c.yml").write_text(f"versoin: 1\npolicies:\n  - {entry}\nprotect: [{protect}]\n")
    assert refusal(tmp_path).splitlines() == [
        "b.yaml:2:11: `policies`: expected a list of mappings such as "
        "[{name: old, match: {older_than: 30d}, action: {delete: directory}}], got a number",
        "c.yml:1:1: missing key `version`",
        "c.yml:1:1: unknown key `versoin`: did you mean `version`? known keys: version, policies, protect",
        "c.yml:3:12: `name`: `old` is already taken at a.yaml:2:19",
        "c.yml:4:18: `name`: `golden` is already taken at a.yaml:3:18",
    ]


def test_statuses_are_those_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "version: 1\npolicies: [{name: old, match: {status: done}, action: {delete: records}}]\n"
    )
    assert load_policies(tmp_path, statuses=["done", "running"]).get("old").match.status == ("done",)
    assert refusal(tmp_path).startswith("a.yaml:2:40: `status`: unknown status `done`; known: pending, in_progress")
