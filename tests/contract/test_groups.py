"""Many deletions in one transaction: what may not go drops out, and disturbs nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog.rows import TaskRow
from daemon.deletion.engine import GROUP
from daemon.deletion.models import Outcome, What
from daemon.errors import CatalogUnavailable, ErrorCode, SweepdError
from support.auditor import DELETED, KEPT, audit, audit_task
from support.site import Site, request
from support.trees import fill, snapshot


def said(results: Sequence[Outcome | SweepdError]) -> list[str]:
    return [str(result.code) if isinstance(result, SweepdError) else "deleted" for result in results]


@pytest.mark.parametrize("what", [What.DIRECTORY, What.DIRECTORY_AND_RECORDS])
def test_more_than_a_group_goes_and_every_count_is_exact(site: Site, what: What) -> None:
    before = [site.task(f"task_{number}", files=number % 5, steps=1) for number in range(GROUP + 6)]
    results = site.engine.delete_group([request(task.task_id, what) for task in before])
    assert said(results) == ["deleted"] * len(before)
    for task, result in zip(before, results, strict=True):
        assert isinstance(result, Outcome)
        assert (result.task_id, tuple(result.counts.to_json().values())) == (task.task_id, task.counts)
    assert set(audit(site.store, site.path, before).values()) == {DELETED}
    assert site.metric("sweepd_deletions_total", trigger="api", outcome="success") == len(before)


def test_those_that_may_not_go_do_not_disturb_the_others(site: Site, tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside")
    tree = snapshot(outside)
    good = [site.task("task_1"), site.task("task_2")]
    running = site.task("task_running", status="in_progress")
    site.store.add_task("task_link")
    (site.path / "task_link").symlink_to(outside)
    site.store.add_task("task_gone")
    names = ["task_1", "task_running", "..", "task_link", "task_none", "task_gone", "task_2", "task_1", "a/b"]
    results = site.engine.delete_group([request(name) for name in names])
    assert said(results) == [
        "deleted",
        "TASK_RUNNING",
        "INVALID_TASK_ID",
        "UNSAFE_DIRECTORY",
        "TASK_NOT_FOUND",
        "deleted",
        "deleted",
        "deleted",
        "INVALID_TASK_ID",
    ]
    assert [result.directory_deleted for result in results if isinstance(result, Outcome)] == [True, False, True, False]
    assert [audit_task(site.store, site.path, task) for task in good] == [DELETED, DELETED]
    assert audit_task(site.store, site.path, running) == KEPT
    assert snapshot(outside) == tree
    assert site.entries() == []


def test_a_row_that_somebody_has_locked_is_tried_alone(postgres_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = postgres_site
    monkeypatch.setattr("daemon.catalog.database.LOCK_TIMEOUT_S", 0.2)
    site.catalog.close()
    before = [site.task(f"task_{number}") for number in range(3)]
    with site.store.locking("task_1"):
        assert said(site.engine.delete_group([request(task.task_id) for task in before])) == [
            "deleted",
            "TASK_BUSY",
            "deleted",
        ]
    assert [audit_task(site.store, site.path, task) for task in before] == [DELETED, KEPT, DELETED]


def test_one_question_for_all_rows_and_each_its_own_answer(site: Site) -> None:
    before = [site.task(f"task_{number}") for number in range(4)]
    asked: list[list[str]] = []

    def guard(_session: object, rows: Sequence[TaskRow]) -> Mapping[str, str]:
        asked.append(sorted(row.task_id for row in rows))
        return {"task_1": "no", "task_3": "no"}

    results = site.engine.delete_group([request(task.task_id, guard=guard) for task in before])
    assert said(results) == ["deleted", "TASK_CHANGED", "deleted", "TASK_CHANGED"]
    assert asked == [[task.task_id for task in before]]
    assert [audit_task(site.store, site.path, task) for task in before] == [DELETED, KEPT, DELETED, KEPT]


def test_a_commit_that_fails_puts_all_of_them_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [site.task(f"task_{number}") for number in range(3)]

    def fail(*_arguments: Any) -> None:
        raise CatalogUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr("daemon.catalog.ledger.insert", fail)
        results = site.engine.delete_group([request(task.task_id) for task in before])
    assert said(results) == [ErrorCode.CATALOG_UNAVAILABLE] * 3
    assert set(audit(site.store, site.path, before).values()) == {KEPT}


def test_a_group_without_a_single_task_that_goes_leaves_nothing_behind(site: Site) -> None:
    site.task("task_1", status="in_progress")
    assert said(site.engine.delete_group([request("task_1"), request("task_2")])) == ["TASK_RUNNING", "TASK_NOT_FOUND"]
    assert site.entries() == []
    assert site.store.ledger("task_1") == []
    assert site.engine.delete_group([]) == []
