"""Policy tests are read as strictly as policies are."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.errors import DocumentError
from daemon.policy.cases import check_policies, load_cases

STATUSES = ("pending", "in_progress", "completed", "failed")
GOOD = """\
policies: p
now: 2026-06-01
tasks:
  - {task_id: a, status: completed}
  - {task_id: b, first_seen_at: 2026-01-01}
expect:
  old:
    goes: [a]
    stays: {b: held}
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "t.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        file, document = load_cases(path, STATUSES)
        check_policies(file, document, ["old", "young"])
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(GOOD, encoding="utf-8")
    file, document = load_cases(path, STATUSES)
    check_policies(file, document, ["old"])
    assert [case.task_id for case in file.tasks] == ["a", "b"]
    assert file.timezone == "UTC"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("now: 2026-06-01", "now: soon", "2:6: `now`: not a date: write a date or date-time such as"),
        ("now: 2026-06-01", "now: 20260601", "2:6: `now`: expected a date, got a number: write a date"),
        ("now: 2026-06-01\n", "", "1:1: missing key `now`"),
        ("status: completed", "status: complete", "4:26: `status`: unknown status `complete`: did you mean"),
        ("status: completed", "state: completed", "4:18: unknown key `state`"),
        ("{task_id: b,", "{task_id: a,", "5:15: `task_id`: `a` is already taken"),
        ("{task_id: b, first_seen_at: 2026-01-01}", "{task_id: b}", "5:5: `tasks`: a directory without a row is known"),
        ("{task_id: b,", "{task_id: b, user: x,", "5:5: `tasks`: a directory without a row has no `user`"),
        ("{task_id: b,", "{task_id: b, running: true,", "5:5: `tasks`: a directory without a row has no `running`"),
        ("status: completed", "status: failed, completed_at: 2026-01-01T00:00Z", "`completed_at`: the pipeline writes"),
        ("goes: [a]", "goes: [c]", "8:12: `goes`: no task `c` in this file; known: a, b"),
        ("stays: {b: held}", "stays: {aa: held}", "9:17: `aa`: no task `aa` in this file"),
        ("stays: {b: held}", "stays: {a: held}", "9:16: `a`: `a` is in `goes` as well"),
        ("stays: {b: held}", "stays: {b: goes}", "9:16: `b`: write a verdict"),
        ("    goes: [a]\n    stays: {b: held}\n", "    stays: {}\n", "expects nothing"),
        ("  old:", "  oldd:", "7:3: no policy `oldd`: did you mean `old`? known: old, young"),
        ("  old:", "  old: {goes: []}\n  old:", "duplicate key `old`"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    assert problem in "\n".join(problems(tmp_path, GOOD.replace(old, new, 1)))
