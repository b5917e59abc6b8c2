"""Compares disk, trash, rows and journal after whatever has happened, with no help of the daemon's own code."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from support.stores import Row, Store
from support.trees import Counts, count, snapshot

KEPT = "kept"
DELETED = "deleted"
RETAINED = "retained"


@dataclass(frozen=True)
class Before:
    """A task as it was before anybody asked to delete it."""

    task_id: str
    tree: dict[bytes, tuple[object, ...]] | None
    counts: Counts
    row: Row | None
    steps: list[Row]


def remember(store: Store, root: Path, task_id: str) -> Before:
    path = root / task_id
    tree = snapshot(path) if path.is_dir() else None
    counts = count(path) if tree is not None else (0, 0, 0, 0)
    return Before(task_id, tree, counts, store.task(task_id), store.steps(task_id))


def audit(store: Store, root: Path, tasks: Iterable[Before]) -> dict[str, str]:
    """KEPT, RETAINED or DELETED for each task, wholly one of them; AssertionError for anything between.

    The trash has to be empty, and the root to hold nothing but what was kept.
    """
    found = {task.task_id: audit_task(store, root, task) for task in tasks}
    for folder in ("trash", "quarantine"):
        path = root / ".sweepd" / folder
        assert not path.exists() or os.listdir(path) == [], f"{folder} is not empty"
    kept = {task_id for task_id, fate in found.items() if fate == KEPT}
    assert set(os.listdir(root)) == {*kept, ".sweepd"}
    return found


def audit_task(store: Store, root: Path, task: Before) -> str:
    """The same for one task, whatever else there is."""
    path = root / task.task_id
    row, steps = store.task(task.task_id), store.steps(task.task_id)
    journal = [entry for entry in store.ledger(task.task_id) if entry["state"] not in ("aborted", "restored")]
    if os.path.lexists(path):
        assert snapshot(path) == task.tree, "the directory is there, but not as it was"
        assert row == task.row, "the directory is there, but its row was changed"
        assert steps == task.steps
        assert journal == [], "the directory is there, but the journal says it was deleted"
        return KEPT
    assert task.tree is not None
    assert len(journal) == 1, f"the directory is gone, and the journal has {len(journal)} deletions of it"
    (entry,) = journal
    waiting = root / ".sweepd" / "retained" / str(entry["deletion_id"])
    if entry["state"] == "committed":
        assert entry["purge_after"] is not None, "the directory is gone, and its deletion not recorded as finished"
        assert snapshot(waiting) == task.tree, "what waits is not what was there"
    else:
        assert entry["state"] == "purged"
        assert not waiting.exists()
        _audit_counts(entry, task)
    kept = store.query("SELECT * FROM sweepd_snapshots WHERE deletion_id = ?", [entry["deletion_id"]])
    assert len(kept) == (1 if entry["state"] == "committed" and task.row is not None else 0)
    _audit_rows(entry, task, row, steps)
    return RETAINED if entry["state"] == "committed" else DELETED


def _audit_counts(entry: Row, task: Before) -> None:
    assert entry["finished_at"] is not None
    counted = tuple(entry[name] for name in ("files", "directories", "size_bytes", "freed_bytes"))
    assert counted == task.counts, "the journal's counts are not what was there"


def _audit_rows(entry: Row, task: Before, row: Row | None, steps: list[Row]) -> None:
    assert entry["directory_deleted"] in (True, 1)
    if entry["records_deleted"]:
        assert row is None, "the journal says the records are gone"
        assert steps == []
    elif task.row is None:
        assert row is None
    else:
        assert row is not None
        assert row["directory_exists"] in (False, 0), "the directory is gone, and the row does not say so"
        assert row["updated_at"] is not None
        changed = {"directory_exists", "updated_at"}
        assert {k: v for k, v in row.items() if k not in changed} == {
            k: v for k, v in task.row.items() if k not in changed
        }
        assert steps == task.steps
