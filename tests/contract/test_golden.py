"""Golden cases: rows, a date and a policy, and the decision about each row, in its words, in its order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.catalog.catalog import Catalog
from daemon.catalog.selection import Judged, Selection
from daemon.policy.models import Policy, PolicySet, Protect
from daemon.sweep.reasons import clause_results, reason
from support.judging import judge_in
from support.site import make_catalog
from support.stores import Store

CASES = sorted((Path(__file__).parents[1] / "policies" / "golden").glob("*.yaml"))
INVENTORY = ("task_id", "orphan_since", "orphan_sightings", "size_bytes", "freed_bytes", "modified_at")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
HOLDS = ("pattern", "owner", "reason", "expires_at")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_each_row_is_decided_in_these_words(path: Path, store: Store) -> None:
    case = yaml.safe_load(path.read_text())
    at = case["now"] if case["now"].tzinfo else case["now"].replace(tzinfo=UTC)
    catalog = make_catalog(store, timezone=case.get("timezone", "UTC"))
    try:
        fill(store, case, at)
        found = dict(decisions(catalog, case, at))
    finally:
        catalog.close()
    assert found == case["decisions"]
    assert list(found) == list(case["decisions"])


def fill(store: Store, case: dict[str, Any], at: datetime) -> None:
    for task in case["tasks"]:
        steps = task.pop("steps", [])
        store.add_task(**{"status": "completed", "created_at": None, **task})
        for step in steps:
            store.add_step(task["task_id"], step)
    for row in case.get("inventory", []):
        values = {"orphan_since": at, "orphan_sightings": 1, **row}
        store.query(
            "INSERT INTO sweepd_inventory (first_seen_at, last_seen_at, signature, sightings, task_id, orphan_since,"
            " orphan_sightings, size_bytes, freed_bytes, modified_at) VALUES (?, ?, '-', 9, ?, ?, ?, ?, ?, ?)",
            [
                instant(store, LONG_AGO),
                instant(store, at),
                *(instant(store, values.get(name)) for name in INVENTORY),
            ],
        )
    for number, hold in enumerate(case.get("holds", [])):
        store.query(
            "INSERT INTO sweepd_holds (hold_id, placed_at, pattern, owner, reason, expires_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [f"{number:028}", instant(store, at), *(instant(store, hold.get(name)) for name in HOLDS)],
        )


def instant(store: Store, value: object) -> object:
    """A moment as sweepd's own columns hold it; anything else as it is."""
    if not isinstance(value, datetime):
        return value
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.strftime("%Y-%m-%d %H:%M:%S.%f") if store.sqlite else aware


def decisions(catalog: Catalog, case: dict[str, Any], at: datetime) -> Iterator[tuple[str, str]]:
    policy = Policy.model_validate({"name": "policy", "action": {"delete": "directory"}, **case["policy"]})
    protect = tuple(Protect.model_validate(item) for item in case.get("protect", []))
    policies = PolicySet(policies=(policy,), protect=protect)
    with catalog.read(at=at) as session:
        selection = catalog.select(session, policy, policies)
        for task_id, judged in judge_in(session, catalog, policies).items():
            yield task_id, f"{judged.verdict} | {because(judged, selection)}"


def because(judged: Judged, selection: Selection) -> str:
    results = clause_results(judged, selection.clauses, selection.now)
    return reason(judged, results, selection.policy.keep, selection.now)
