"""What sweepd remembers of its own work does not grow for ever, and keeps what its guards go by."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from daemon.catalog import figures, scans, sweeps
from daemon.clock import now
from support.site import Site

OLD = now() - timedelta(days=500)


def add_sweep(site: Site, number: int, outcome: str, *, policy: str = "old", at: datetime = OLD) -> None:
    site.store.query(
        """INSERT INTO sweepd_sweeps (sweep_id, policy, trigger, mode, outcome, started_at, considered, selected,
        deleted, failed, dropped, size_bytes) VALUES (?, ?, 'sweep', 'enforce', ?, ?, ?, 1, 0, 0, 0, 0)""",
        [f"{number:028}", policy, outcome, _stored(site, at + timedelta(minutes=number)), 100 + number],
    )


def add_scan(site: Site, number: int, *, at: datetime = OLD, complete: bool = True) -> None:
    start = _stored(site, at + timedelta(minutes=number))
    site.store.query(
        "INSERT INTO sweepd_scans (scan_id, started_at, finished_at, directories, measured) VALUES (?, ?, ?, 1, 1)",
        [f"{number:028}", start, start if complete else None],
    )


def _stored(site: Site, instant: datetime) -> datetime:
    return instant.replace(tzinfo=None) if site.store.sqlite else instant


def left(site: Site, table: str) -> list[int]:
    key = f"{table.removesuffix('s')}_id"
    return [int(row[key]) for row in site.store.query(f"SELECT {key} FROM sweepd_{table} ORDER BY 1")]


def test_old_sweeps_go_but_the_last_ones_of_each_outcome_stay(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "KEPT", 3)
    monkeypatch.setattr(sweeps, "_FORGOTTEN_AT_ONCE", 4)
    for number in range(5):
        add_sweep(site, number, "success")
    for number in range(5, 12):  # it has been blocked ever since: what it looked at when it was not is still known
        add_sweep(site, number, "blocked")
    add_sweep(site, 12, "success", policy="other")
    for number in range(13, 18):
        add_sweep(site, number, "success", policy="young", at=now() - timedelta(days=399))
    before = now() - timedelta(days=400)
    with site.catalog.write() as session:
        assert [sweeps.forget(session.connection, before) for _ in range(3)] == [4, 2, 0]
        last = figures.last_sweep(session.connection, ["old"])
    assert left(site, "sweeps") == [2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 16, 17]
    assert last is not None
    assert last.considered == 104


def test_old_scans_go_but_the_last_complete_ones_and_the_newest_stay(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "KEPT", 2)
    for number in range(4):
        add_scan(site, number)
    for number in range(4, 8):
        add_scan(site, number, complete=False)
    add_scan(site, 8, at=now() - timedelta(days=1), complete=False)
    with site.catalog.write() as session:
        assert scans.forget(session.connection, now() - timedelta(days=400)) == 5
        assert scans.forget(session.connection, now() - timedelta(days=400)) == 0
    assert left(site, "scans") == [2, 3, 7, 8]


def test_the_last_ones_stay_however_old_they_are(site: Site) -> None:
    add_sweep(site, 1, "success")
    add_scan(site, 1)
    with site.catalog.write() as session:
        assert sweeps.forget(session.connection, now()) == 0
        assert scans.forget(session.connection, now()) == 0
