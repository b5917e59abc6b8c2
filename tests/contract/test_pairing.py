"""A database and a storage root that do not belong together, on both databases: no policy deletes anything."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Any

import pytest

from daemon.deletion.models import Trigger
from daemon.errors import ErrorCode, SweepRefused
from daemon.policy.models import PolicySet
from daemon.sweep import pairing
from daemon.sweep.report import SweepOutcome, SweepReport
from support.inventories import scan, scanned
from support.judging import policy_set
from support.site import Site, request

LONG_AGO = "2024-01-01 00:00:00"
HOUR = timedelta(hours=1)
POLICIES: dict[str, dict[str, Any]] = {
    "orphans": {"match": {"task_id": {"glob": "*"}}, "source": "orphans", "allow_all": True},
    "directories": {"match": {"older_than": "30d"}},
    "records": {"match": {"older_than": {"age": "30d", "by": "updated"}}, "delete": "records"},
}


def sweep(site: Site, kind: str, **options: Any) -> SweepReport:
    chosen: PolicySet = policy_set(**{"mode": "enforce", **POLICIES[kind], **options})
    return site.sweeper().sweep(chosen, chosen.policies[0], Trigger.SWEEP, "test")


def row(site: Site, task_id: str, *, gone: bool = False) -> None:
    dates = dict.fromkeys(("created_at", "completed_at", "updated_at"), LONG_AGO)
    site.store.add_task(task_id, status="completed", directory_exists=not gone, **dates)


def directories(site: Site, *names: str) -> None:
    for name in names:
        site.directory(name, files=1)
    scanned(site, *names, ago=2 * HOUR)
    for ago in (3 * HOUR, HOUR):
        scan(site, directories=len(names), orphans=len(names), ago=ago)


def names(site: Site) -> list[str]:
    return sorted(path.name for path in site.path.iterdir() if path.name != ".sweepd")


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize(
    ("in_rows", "in_root"),
    [
        ([f"task_{n:03}" for n in range(40)], [f"run_{n:03}" for n in range(60)]),
        ([f"task_{n:03}" for n in range(40)], [f"prod-task_{n:03}" for n in range(40)]),
        ([f"task_{n:03}" for n in range(40)], [f"TASK_{n:03}" for n in range(40)]),
        ([f"task_{n:03}" for n in range(40)], [f"task_{n:03}" for n in range(36, 90)]),
        ([f"task_{n:03}" for n in range(40)], ["run_1", "tmp"]),
        ([f"task_{n:03}" for n in range(5)], [f"run_{n:03}" for n in range(60)]),
    ],
    ids=["others", "prefix", "case", "few in common", "an almost empty root", "an almost empty table"],
)
def test_nothing_is_deleted(site: Site, kind: str, in_rows: list[str], in_root: list[str]) -> None:
    for name in in_rows:
        row(site, name)
    row(site, "gone", gone=True)
    directories(site, *in_root)
    with pytest.raises(SweepRefused) as caught:
        sweep(site, kind)
    assert caught.value.code is ErrorCode.CATALOG_MISMATCH
    common = len({*in_rows} & {*in_root})
    said = str(caught.value)
    assert f"{len(in_rows) - common} of {len(in_rows)} tasks lack the directory" in said
    assert f"{len(in_root) - common} of {len(in_root)} directories have no row" in said
    assert "catalog.url and storage.root" in said
    assert names(site) == sorted(in_root)
    rows = site.store.query("SELECT count(*) AS number FROM data_pipeline_tasks WHERE directory_exists")
    assert rows[0]["number"] == len(in_rows)
    assert site.store.task("gone") is not None
    assert site.metric("sweepd_sweeps_refused_total", policy="policy", error_code="CATALOG_MISMATCH") == 1


def test_what_belongs_together_is_swept(site: Site) -> None:
    """Many directories without a row, or many rows without a directory: each alone has other reasons."""
    kept = [f"task_{n:03}" for n in range(12)]
    for name in kept:
        row(site, name)
    directories(site, *kept, *(f"orphan_{n:03}" for n in range(19)))
    assert len(sweep(site, "orphans").deleted) == 19
    for name in kept[:10]:
        shutil.rmtree(site.path / name)
    report = sweep(site, "directories")
    assert (report.outcome, len(report.deleted)) == (SweepOutcome.SUCCESS, 12)


def test_it_goes_on_when_a_person_has_brought_the_rows_up_to_date(site: Site) -> None:
    """They belong together after all, and somebody had removed most of the directories by hand."""
    for number in range(12):
        row(site, f"task_{number:03}")
    directories(site, "task_000", *(f"orphan_{n:03}" for n in range(10)))
    with pytest.raises(SweepRefused, match="do not belong together"):
        sweep(site, "directories")
    assert sweep(site, "directories", mode="observe").outcome is SweepOutcome.OBSERVED
    site.engine.delete(request("orphan_000", force=True))  # one by hand stays a person's own decision
    assert "orphan_000" not in names(site)
    for number in range(1, 12):
        site.engine.delete(request(f"task_{number:03}"))
    assert [outcome.task_id for outcome in sweep(site, "directories").deleted] == ["task_000"]


def test_a_few_of_each_say_nothing(site: Site) -> None:
    for number in range(4):
        row(site, f"task_{number}")
    directories(site, *(f"run_{number}" for number in range(5)))
    assert len(sweep(site, "orphans").deleted) == 5


def test_most_of_a_sample_is_enough_and_links_are_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        row(site, f"task_{number:02}")
        (site.path / f"task_{number:02}").symlink_to(site.path)
    directories(site, *(f"run_{number:02}" for number in range(40)))
    assert pairing.mismatch(site.catalog, site.root, thorough=True) is None
    counted: list[object] = []
    monkeypatch.setattr(pairing, "_count", lambda *_args: counted.append(1))
    assert pairing.mismatch(site.catalog, site.root, thorough=False) is None
    assert counted == [], "a sweep of a healthy installation lists no million directories"
