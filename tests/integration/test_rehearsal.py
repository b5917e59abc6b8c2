"""Policy tests run against the real selection."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daemon.errors import DocumentError
from daemon.sweep.rehearsal import Difference, Rehearsal, rehearse

STATUSES = ("pending", "in_progress", "completed", "failed", "archived")
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "policy-tests.md"
POLICIES = """
version: 1
protect:
  - name: golden-runs
    match: {task_id: {glob: "golden-*"}}
policies:
  - name: finished
    mode: disabled
    match: {status: [completed, archived], older_than: 30d}
    action: {delete: directory}
  - name: records
    match: {status: completed, older_than: 30d}
    action: {delete: records}
  - name: large
    keep: {min_age: 20d}
    match: {size: {gte: 1GB}}
    order: largest
    action: {delete: directory}
  - name: orphans
    source: orphans
    match: {older_than: {age: 30d, by: first_seen}}
    action: {trash: {retain: 7d}}
"""


def run(folder: Path, text: str) -> Rehearsal:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "policies.yaml").write_text(POLICIES, encoding="utf-8")
    path = folder / "tests" / "t.yaml"
    path.write_text(text, encoding="utf-8")
    return rehearse(path, STATUSES, ("in_progress",))


def test_the_example_of_the_documentation_is_as_expected(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    result = run(tmp_path, example)
    assert (result.differences, result.checked) == ((), 6)


CASES = """
policies: ..
now: 2026-06-01T00:30:00+08:00
timezone: Asia/Shanghai
tasks:
  - {task_id: edge, status: completed, completed_at: 2026-05-02T00:30}
  - {task_id: second_short, status: completed, completed_at: 2026-05-02T00:30:01}
  - {task_id: custom, status: archived, completed_at: 2026-01-01}
  - {task_id: gone, status: completed, completed_at: 2026-01-01, directory: missing}
  - {task_id: large, status: failed, created_at: 2026-01-01, size: 2GB, files: 9}
  - {task_id: large_young, status: failed, created_at: 2026-05-30, size: 2GB}
  - {task_id: unmeasured, status: failed, created_at: 2026-01-01}
  - {task_id: manual, first_seen_at: 2026-05-01T15:00:00Z}
  - {task_id: manual_young, first_seen_at: 2026-05-03, size: 5GB}
expect:
"""


def test_every_kind_of_fact_reaches_the_selection(tmp_path: Path) -> None:
    expect = """
  finished: {goes: [edge, custom], stays: {second_short: not_matched}}
  records: {goes: [gone], stays: {edge: not_looked_at}}
  large: {goes: [large], stays: {large_young: keep_min_age, unmeasured: not measured yet}}
  orphans: {goes: [manual], stays: {edge: not_looked_at, manual_young: older than 30d by first_seen}}
"""
    assert run(tmp_path, CASES + expect).differences == ()


def test_what_differs_is_named_with_what_was_found(tmp_path: Path) -> None:
    expect = """
  finished: {goes: [edge, second_short]}
  large: {stays: {large: stays, unmeasured: held}}
"""
    result = run(tmp_path, CASES + expect)
    found = {(one.policy, one.task_id): one for one in result.differences}
    assert set(found) == {
        ("finished", "custom"),
        ("finished", "second_short"),
        ("large", "large"),
        ("large", "unmeasured"),
    }
    assert found["finished", "custom"].expected == "stays"
    assert found["finished", "custom"].found.startswith("goes: status archived")
    assert found["finished", "second_short"].found.startswith("stays (not_matched): completed 29d ago")
    assert found["large", "unmeasured"] == Difference(
        "large", "unmeasured", "held", "stays (not_matched): not measured yet, needs: size >= 1.0 GB"
    )


def test_a_verdict_in_a_reason_is_not_taken_for_the_verdict(tmp_path: Path) -> None:
    demo = "  - {task_id: demo_1, status: completed, completed_at: 2026-01-01}\nexpect:\n"
    cases = CASES.replace("expect:\n", demo)
    (tmp_path / "more.yaml").write_text(
        'version: 1\nprotect: [{name: keep-running-demos, match: {task_id: {glob: "demo_*"}}}]\n', encoding="utf-8"
    )
    [difference] = run(tmp_path, cases + "  large: {stays: {demo_1: running}}\n").differences
    assert difference.found.startswith("stays (protected): protected by ")
    assert run(tmp_path, cases + "  large: {stays: {demo_1: protected}}\n").differences == ()
    assert run(tmp_path, cases + "  large: {stays: {demo_1: protected by}}\n").differences == ()


def test_a_broken_policy_is_told_as_check_tells_it(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("version: 1\npolicies: [{name: x}]\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"broken\.yaml:2:12: missing key `match`"):
        run(tmp_path, CASES + "  finished: {goes: []}\n")


def test_the_policies_that_are_shipped_pass_their_own_tests() -> None:
    for path in sorted((DOCS.parents[2] / "policies" / "tests").glob("*.yaml")):
        result = rehearse(path, STATUSES, ("in_progress",))
        assert result.differences == ()
        assert result.checked > 0
