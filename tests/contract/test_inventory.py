"""Scans on a real file system and both databases: what they count, when they count again, what they never conclude."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.catalog import inventory, prior, scans
from daemon.catalog.inventory import Counted, Found
from daemon.catalog.scans import Drift, Drifted, DriftFinder, Scan
from daemon.catalog.together import together
from daemon.deletion.models import What
from daemon.errors import ErrorCode, RootUnavailable, SweepdError
from daemon.inventory.scan import Scanner
from daemon.storage import identity, walk
from daemon.storage.locks import exclusive
from support.prepared import Prepared
from support.processes import ForkServer
from support.scanning import make_scanner
from support.site import Site, request
from support.stores import Row, Store
from support.trees import count, fill

LONG_AGO = datetime(2020, 1, 1)


@pytest.fixture
def scanner(site: Site) -> Scanner:
    return make_scanner(site)


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the trees that were walked, as the walk itself is asked for them."""
    names: list[str] = []
    original = walk.traverse

    def traverse(parent_fd: int, name: str, visitor: walk.Visitor) -> bool:
        names.append(name)
        return original(parent_fd, name, visitor)

    monkeypatch.setattr("daemon.storage.census.traverse", traverse)
    return names


@pytest.fixture
def mounting(processes: ForkServer) -> ForkServer:
    if not processes.run("support.mounts:possible").value:
        reason = "this machine does not let the tests mount anything"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return processes


def task(site: Site, task_id: str, files: int = 3, **columns: object) -> Path:
    site.store.add_task(task_id, **{"status": "completed", "created_at": LONG_AGO, "updated_at": LONG_AGO, **columns})
    return fill(site.path / task_id, files)


def rows(site: Site) -> dict[str, Row]:
    return {row["task_id"]: row for row in site.store.query("SELECT * FROM sweepd_inventory")}


def moment(value: object) -> datetime:
    """An instant of sweepd's own tables, as the drivers give it."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def complete(scanner: Scanner) -> Scan:
    scan = scanner.scan()
    assert scan is not None
    assert scan.finished_at is not None
    return scan


def drift(site: Site, kind: Drift) -> list[Drifted]:
    with site.catalog.read() as session:
        last = scans.last_complete(session.connection)
        assert last is not None
        since = site.catalog.timeline.now(session.connection, last.started_at)
        finder = DriftFinder(session.tables, site.catalog.timeline, since)
        found = finder.examples(session.connection, kind, 100)
        assert finder.count(session.connection, kind) == len(found)
    return found


def test_every_task_directory_is_counted_exactly_with_its_newest_mtime(site: Site, scanner: Scanner) -> None:
    path = task(site, "task_1", 20)
    os.link(path / "file-2.json", site.path / "outside")  # its bytes are not freed with the task
    newest = path / "part-1" / "file-1.json"
    os.utime(newest, ns=(0, 1_900_000_000_123_456_789))
    fill(site.path / ".hidden", 2)
    (site.path / "notes.txt").touch()
    scan = complete(scanner)
    (row,) = rows(site).values()
    assert (row["files"], row["directories"], row["size_bytes"], row["freed_bytes"]) == count(path)
    assert moment(row["modified_at"]) == datetime.fromtimestamp(1_900_000_000, UTC) + timedelta(microseconds=123456)
    assert (row["sightings"], row["error"]) == (1, None)
    assert moment(row["first_seen_at"]) == moment(row["last_seen_at"]) == scan.started_at
    assert (scan.directories, scan.measured, scan.orphans, scan.missing) == (1, 1, 0, 0)


def test_the_newest_mtime_may_be_that_of_a_directory(site: Site, scanner: Scanner) -> None:
    path = task(site, "task_1")
    for folder, _, files in os.walk(path):
        for name in [*files, "."]:
            os.utime(Path(folder, name), (1_500_000_000, 1_500_000_000))
    os.utime(path / "empty", (1_600_000_000, 1_600_000_000))
    complete(scanner)
    assert moment(rows(site)["task_1"]["modified_at"]) == datetime.fromtimestamp(1_600_000_000, UTC)


def test_a_finished_task_is_walked_once_and_then_only_seen(site: Site, scanner: Scanner, walked: list[str]) -> None:
    for number in range(5):
        task(site, f"task_{number}", status="failed" if number % 2 else "completed")
    first = complete(scanner)
    assert sorted(walked) == [f"task_{number}" for number in range(5)]
    walked.clear()
    for seen in (2, 3):
        scan = complete(scanner)
        assert (walked, scan.measured, scan.directories) == ([], 0, 5)
        assert {row["sightings"] for row in rows(site).values()} == {seen}
    assert {moment(row["first_seen_at"]) for row in rows(site).values()} == {first.started_at}
    assert {moment(row["last_seen_at"]) for row in rows(site).values()} == {scan.started_at}


def _new_file(site: Site) -> None:
    (site.path / "task_1" / "new").write_bytes(b"x" * 10)


def _other_directory(site: Site) -> None:
    shutil.rmtree(site.path / "task_1")
    fill(site.path / "task_1", 7)


def _row_changed(site: Site) -> None:
    site.store.query("UPDATE data_pipeline_tasks SET updated_at = ? WHERE task_id = 'task_1'", [datetime(2090, 1, 1)])


def _row_completed(site: Site) -> None:
    site.store.query("UPDATE data_pipeline_tasks SET completed_at = ? WHERE task_id = 'task_1'", [datetime(2090, 1, 1)])


def _step_running(site: Site) -> None:
    site.store.add_step("task_1", "running")


def _status(site: Site) -> None:
    site.store.query("UPDATE data_pipeline_tasks SET status = 'partial_completed' WHERE task_id = 'task_1'")


def _long_ago(site: Site) -> None:
    site.store.query("UPDATE sweepd_inventory SET measured_at = ?", [datetime(2025, 1, 1)])


@pytest.mark.parametrize(
    "cause", [_new_file, _other_directory, _row_changed, _row_completed, _step_running, _status, _long_ago]
)
def test_cause_to_walk_again(site: Site, scanner: Scanner, walked: list[str], cause: Callable[[Site], None]) -> None:
    path = task(site, "task_1")
    task(site, "task_2")
    complete(scanner)
    complete(scanner)
    walked.clear()
    cause(site)
    complete(scanner)
    assert [name for name in walked if name != "task_2"] == ["task_1"]
    assert ("task_2" in walked) == (cause is _long_ago)
    row = rows(site)["task_1"]
    assert (row["files"], row["directories"], row["size_bytes"], row["freed_bytes"]) == count(path)


def test_a_task_is_counted_while_it_is_at_work_and_once_more_when_it_has_ended(
    site: Site, scanner: Scanner, walked: list[str]
) -> None:
    path = task(site, "task_1", status="in_progress")
    complete(scanner)
    (path / "part-1" / "late").write_bytes(b"x" * 100)  # the top directory does not change
    complete(scanner)
    assert rows(site)["task_1"]["files"] == 4
    (path / "part-1" / "last").write_bytes(b"x" * 100)
    # by a clock that is behind, so that the row looks older than the last measurement
    site.store.query("UPDATE data_pipeline_tasks SET status = 'completed'")
    complete(scanner)
    complete(scanner)
    assert (rows(site)["task_1"]["files"], walked) == (5, ["task_1"] * 3)


def test_the_rows_times_are_wall_time_of_the_pipelines_zone(site: Site, walked: list[str]) -> None:
    """Nine hours ahead of UTC everything looks like the future, and must not be cause."""
    site.catalog.timeline._timezone = "Asia/Tokyo"
    scanner = make_scanner(site)
    local = (datetime.now(UTC) + timedelta(hours=9)).replace(tzinfo=None)
    task(site, "task_1", updated_at=local - timedelta(hours=1))
    complete(scanner)
    complete(scanner)
    assert walked == ["task_1"]
    site.store.query("UPDATE data_pipeline_tasks SET updated_at = ?", [local + timedelta(minutes=1)])
    complete(scanner)
    assert walked == ["task_1"] * 2


def test_dates_that_cannot_be_read_do_not_end_a_scan(site: Site) -> None:
    odd: list[object] = ["yesterday", 5, 2460000.5, b"2024-01-01", "9999-12-31 23:59:59"]
    if not site.store.sqlite:
        odd = ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01", "9999-12-31 23:59:59"]
    for number, date in enumerate(odd):
        task(site, f"task_{number}", created_at=date, completed_at=date, updated_at=date)
    for _ in range(2):
        assert make_scanner(site).scan() is not None
    assert [row["sightings"] for row in rows(site).values()] == [2] * 5


def test_a_directory_that_has_gone_is_forgotten_by_a_complete_scan(site: Site, scanner: Scanner) -> None:
    for number in range(3):
        task(site, f"task_{number}")
    complete(scanner)
    shutil.rmtree(site.path / "task_1")
    complete(scanner)
    assert sorted(rows(site)) == ["task_0", "task_2"]


def test_a_directory_that_cannot_be_looked_at_ends_no_scan(
    site: Site, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody's own FUSE mount is to everybody else, or one whose server is gone."""
    for number in range(3):
        task(site, f"task_{number}")
    complete(scanner)
    before = rows(site)["task_1"]
    look = identity.look

    def looked(fd: int, name: str) -> identity.Look:
        if name == "task_1":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return look(fd, name)

    with monkeypatch.context() as patch:
        patch.setattr(identity, "look", looked)
        complete(scanner)
    found = rows(site)
    assert sorted(found) == ["task_0", "task_1", "task_2"]
    assert "cannot be looked at" in found["task_1"]["error"]
    complete(scanner)
    after = rows(site)["task_1"]
    assert (after["error"], after["first_seen_at"]) == (None, before["first_seen_at"])


def test_a_directory_that_has_become_a_file_is_forgotten(site: Site, scanner: Scanner) -> None:
    for number in range(3):
        task(site, f"task_{number}")
    complete(scanner)
    shutil.rmtree(site.path / "task_1")
    (site.path / "task_1").touch()
    complete(scanner)
    assert sorted(rows(site)) == ["task_0", "task_2"]


def test_drift_is_found_both_ways_and_counted(site: Site, scanner: Scanner) -> None:
    task(site, "task_both")
    fill(site.path / "task_orphan", 9)
    fill(site.path / "another_orphan", 2)
    site.store.add_task("task_missing", status="completed", by_user="li", created_at=LONG_AGO, updated_at=LONG_AGO)
    site.store.add_task("task_gone", status="completed", directory_exists=False, updated_at=LONG_AGO)
    with structlog.testing.capture_logs() as events:
        scan = complete(scanner)
        complete(scanner)
    assert (scan.orphans, scan.missing) == (2, 1)
    assert [one.task_id for one in drift(site, Drift.ORPHANS)] == ["task_orphan", "another_orphan"]
    assert drift(site, Drift.MISSING) == [Drifted("task_missing", status="completed", user="li")]
    (said,) = [event for event in events if event["event"] == "drift_found"]  # and not again by the second
    assert (said["orphans"], said["missing"]) == (2, 1)
    assert site.metric("sweepd_inventory_orphans") == 2
    assert site.metric("sweepd_inventory_missing") == 1
    assert site.metric("sweepd_inventory_directories") == 3


def test_what_a_scan_could_not_meet_is_not_missing(site: Site, scanner: Scanner) -> None:
    task(site, "task_back")
    site.store.query("UPDATE data_pipeline_tasks SET updated_at = created_at")
    site.engine.delete(request("task_back", retain=timedelta(days=1)))
    complete(scanner)
    site.restorer.restore_task("task_back", "test")
    site.store.query("UPDATE data_pipeline_tasks SET updated_at = created_at")
    site.store.add_task("task_new", status="pending", created_at=datetime(2090, 1, 1))
    assert drift(site, Drift.MISSING) == []


def test_a_deletion_takes_the_inventory_row_along(site: Site, scanner: Scanner) -> None:
    for number in range(3):
        task(site, f"task_{number}")
    complete(scanner)
    site.engine.delete_group([request("task_0"), request("task_1", What.DIRECTORY_AND_RECORDS)])
    assert sorted(rows(site)) == ["task_2"]


def test_a_scan_does_not_bring_back_what_a_deletion_has_forgotten(site: Site, scanner: Scanner) -> None:
    task(site, "task_1")
    complete(scanner)
    with site.catalog.write() as session:
        together(session.connection, [inventory.forgetting(["task_1"])])
    stale = Found("task_1", False, False, "signature", datetime.now(UTC), None, "late")
    with site.catalog.write() as session:
        inventory.record(session.connection, datetime.now(UTC), ["task_1"], [stale])
    assert rows(site) == {}


def test_what_has_gone_or_was_swapped_since_it_was_listed_is_not_written_down(
    site: Site, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    task(site, "task_known")
    complete(scanner)
    before = rows(site)["task_known"]
    for name in ("task_gone", "task_swapped", "task_stays"):
        task(site, name)
    (site.path / "task_known" / "more").touch()
    measure = site.workers.measure

    def and_meanwhile(*arguments: Any) -> Any:
        found = measure(*arguments)
        shutil.rmtree(site.path / "task_gone")
        for name in ("task_known", "task_swapped"):
            (site.path / name).rename(site.path / f".{name}")
            fill(site.path / name, 9)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(site.workers, "measure", and_meanwhile)
        complete(scanner)
    assert sorted(rows(site)) == ["task_known", "task_stays"]
    assert rows(site)["task_known"]["signature"] == before["signature"]
    complete(scanner)
    counted = {name: row["files"] for name, row in rows(site).items()}
    assert counted == {"task_known": 9, "task_swapped": 9, "task_stays": 3}


def test_a_deletion_in_hand_is_not_waited_for(postgres_site: Site) -> None:
    task(postgres_site, "task_1")
    task(postgres_site, "task_2")
    scanner = make_scanner(postgres_site)
    complete(scanner)
    with postgres_site.catalog.write() as session:
        together(session.connection, [inventory.forgetting(["task_1"])])
        complete(scanner)  # would run into the lock's timeout
    assert [row["sightings"] for row in rows(postgres_site).values()] == [2]


def test_hostile_names_and_what_is_no_directory(site: Site, scanner: Scanner) -> None:
    for name in ("-rf", "a b", ".hidden", "x" * 129, "línea", "new\nline", "%s%n"):
        (site.path / name).mkdir()
    os.mkdir(os.fsencode(site.path) + b"/\xff\xfe")
    path = fill(site.path / ("y" * 128), 2)
    os.mkdir(os.fsencode(path) + b"/\xff\xfe")
    os.utime(path / "empty", (1, 2**33))
    (site.path / "task_file").touch()
    os.mkfifo(site.path / "task_fifo")
    complete(scanner)
    assert {name: row["files"] for name, row in rows(site).items()} == {"y" * 128: 2}


def test_a_symlink_in_the_place_of_a_task_is_reported_and_not_followed(
    site: Site, scanner: Scanner, tmp_path: Path, walked: list[str]
) -> None:
    outside = fill(tmp_path / "outside", 5)
    site.store.add_task("task_link", status="completed")
    (site.path / "task_link").symlink_to(outside)
    inner = task(site, "task_1")
    (inner / "link").symlink_to(outside)
    scan = complete(scanner)
    found = rows(site)
    assert (found["task_link"]["files"], found["task_link"]["error"]) == (
        None,
        "a symbolic link, which is not followed",
    )
    assert found["task_1"]["files"] == 4
    assert (scan.directories, scan.measured, scan.missing, walked) == (2, 1, 0, ["task_1"])


def test_what_cannot_be_counted_has_its_reason_and_the_others_their_counts(
    prepared: Prepared, mounting: ForkServer, tmp_path: Path
) -> None:
    prepared.sqlite(tmp_path)
    said = mounting.run("support.scanning:scan_with_mounts", folder=str(tmp_path)).value
    assert said["directories"] == 3
    inside, mounted, whole = said["rows"]
    assert inside[:2] == ["task_inside", None]
    assert "task_inside/empty" in inside[2]
    assert "a mount lies there" in inside[2]
    assert mounted[:2] == ["task_mounted", None]
    assert "a mount lies there" in mounted[2]
    assert whole == ["task_whole", 4, None]


@pytest.mark.parametrize("swapped", [False, True])
def test_an_unmounted_or_swapped_root_changes_nothing(
    prepared: Prepared, mounting: ForkServer, tmp_path: Path, swapped: bool
) -> None:
    prepared.sqlite(tmp_path)
    said = mounting.run("support.scanning:scan_covered", folder=str(tmp_path), swapped=swapped).value
    assert said == {"error": "RootUnavailable", "same": True}


def test_a_root_that_is_lost_during_the_scan_concludes_nothing(site: Site, scanner: Scanner) -> None:
    for number in range(3):
        task(site, f"task_{number}")
    complete(scanner)
    shutil.rmtree(site.path / "task_1")
    before = sorted(rows(site))
    with suppress(RootUnavailable):
        scanner.scan(lambda progress: _lose(site.path) if progress.directories else None)
    assert not site.path.exists()
    assert sorted(rows(site)) == before
    assert [scan["finished_at"] is None for scan in _scans(site)] == [False, True]


def _lose(path: Path) -> None:
    if path.exists():
        path.rename(path.with_name("elsewhere"))


def _scans(site: Site) -> list[Row]:
    return site.store.query("SELECT * FROM sweepd_scans ORDER BY started_at")


def test_a_scan_that_is_killed_is_gone_on_with_and_concludes_nothing(
    site: Site, processes: ForkServer, walked: list[str]
) -> None:
    for number in range(1200):
        (site.path / f"task_{number:04}").mkdir()
    with site.catalog.write() as session:
        gone = Found("task_gone", True, False, "", datetime.now(UTC), None, None)
        inventory.record(session.connection, datetime(2025, 1, 1, tzinfo=UTC), [], [gone])
    ended = processes.run("support.scanning:scan_and_die", url=site.store.url, path=str(site.path), directories=500)
    assert ended.killed_by is not None
    done = {name for name, row in rows(site).items() if row["measured_at"] is not None}
    assert 500 <= len(done) < 1200
    assert "task_gone" in rows(site)
    scan = complete(make_scanner(site))
    assert set(walked) == {f"task_{number:04}" for number in range(1200)} - done
    assert (scan.directories, len(rows(site))) == (1200, 1200)
    assert [scan["finished_at"] is None for scan in _scans(site)] == [True, False]


def test_stop_ends_a_scan_at_once(site: Site) -> None:
    for number in range(3000):
        (site.path / f"task_{number:04}").mkdir()
    scanner = make_scanner(site)
    assert scanner.scan(lambda progress: scanner.stop() if progress.directories else None) is None
    assert 0 < len(rows(site)) < 3000
    assert make_scanner(site).scan() is None  # its workers measure nothing any more


def test_only_one_process_scans_a_root(site: Site, scanner: Scanner) -> None:
    with exclusive(site.root, "scan"), pytest.raises(SweepdError) as caught:
        scanner.scan()
    assert caught.value.code is ErrorCode.SCAN_RUNNING
    assert _scans(site) == []


def test_a_database_that_goes_away_leaves_the_scan_open(postgres_site: Site) -> None:
    task(postgres_site, "task_1")
    scanner = make_scanner(postgres_site)
    postgres_site.catalog.database.engine.dispose()
    postgres_site.store.query("ALTER TABLE sweepd_inventory RENAME TO elsewhere")
    try:
        with pytest.raises(SweepdError):
            scanner.scan()
    finally:
        postgres_site.store.query("ALTER TABLE elsewhere RENAME TO sweepd_inventory")
    assert [scan["finished_at"] for scan in _scans(postgres_site)] == [None]


def test_what_does_not_fit_into_one_transaction_is_divided_and_nothing_is_left_out(
    site: Site, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.inventory.scan._MANY", 7)
    monkeypatch.setattr("daemon.inventory.scan._BATCH", 3)
    names = [f"task_{number:02}" for number in range(20)]
    for name in names:
        task(site, name)
    told: list[int] = []
    for seen in (1, 2, 3):
        site.store.query("UPDATE sweepd_inventory SET measured_at = ? WHERE task_id < 'task_05'", [LONG_AGO])
        told.clear()
        scan = scanner.scan(lambda progress: told.append(progress.directories))
        assert scan is not None
        assert (scan.directories, scan.measured) == (20, 20 if seen == 1 else 5)
        assert {name: row["sightings"] for name, row in rows(site).items()} == dict.fromkeys(names, seen)
    assert told[-1] == 20
    assert any(0 < directories < 20 for directories in told)


def test_instants_are_kept_to_the_microsecond_whatever_their_zone(site: Site) -> None:
    whole = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    elsewhere = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=9)))
    counts = {
        "task_1": Counted(2**40, 2, 2**70, 2**53 + 1, whole),
        "task_2": Counted(0, 1, 0, 0, elsewhere),
    }
    for _ in range(2):  # made, and then written again
        with site.catalog.write() as session:
            found = [Found(name, True, False, "a:1", elsewhere, counted, None) for name, counted in counts.items()]
            inventory.record(session.connection, whole, [], found)
    with site.catalog.read() as session:
        kept = inventory.measured(session.connection, list(counts))
        timeline = site.catalog.timeline
        known = prior.known(session.connection, session.tables, timeline, ["task_1", "task_3"], {"task_3"})
    most = 2**53 - 1
    assert kept == {"task_1": Counted(2**40, 2, most, most, whole), "task_2": counts["task_2"]}
    assert known == {
        "task_1": prior.Known(is_new=False, signature="a:1", measured_at=elsewhere),
        "task_3": prior.Known(open=True),
    }
    found_again = site.store.query("SELECT count(*) AS number FROM sweepd_inventory WHERE sightings = 1")
    assert found_again[0]["number"] == 2  # by the same scan, which counts once
    with site.catalog.write() as session:  # the column compares as it did when SQLAlchemy wrote it
        inventory.forget_unseen(session.connection, whole, ["task_1"])
        inventory.forget_unseen(session.connection, whole + timedelta(microseconds=1), ["task_2"])
    assert sorted(rows(site)) == ["task_1"]


def test_on_postgresql_a_row_that_is_seen_again_stays_in_its_page(postgres_site: Site) -> None:
    for number in range(30):
        task(postgres_site, f"task_{number:02}")
    scanner = make_scanner(postgres_site)
    complete(scanner)
    page = "SELECT task_id, (ctid::text::point)[0] AS page FROM sweepd_inventory"
    before = {row["task_id"]: row["page"] for row in postgres_site.store.query(page)}
    complete(scanner)
    assert {row["task_id"]: row["page"] for row in postgres_site.store.query(page)} == before


@pytest.mark.costly
def test_children_measure_the_same_as_the_thread_itself(store: Store, tmp_path: Path) -> None:
    with_children = Site(store, tmp_path / "root", processes=2)
    with_children.init()
    try:
        for number in range(100):
            fill(with_children.path / f"task_{number:03}", number)
        for number in range(40):
            fill(with_children.path / "task_large" / f"{number}", 120)
        complete(make_scanner(with_children))
        for name, row in rows(with_children).items():
            path = with_children.path / name
            assert (row["files"], row["directories"], row["size_bytes"], row["freed_bytes"]) == count(path), name
            newest = max(os.lstat(inner).st_mtime_ns for inner in [path, *path.rglob("*")])
            assert moment(row["modified_at"]) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
                microseconds=newest // 1000
            )
    finally:
        with_children.close()


def test_absurd_sizes_and_times_are_kept_as_far_as_a_database_can(site: Site, scanner: Scanner) -> None:
    path = task(site, "task_1")
    for number in range(3):
        with open(path / f"sparse-{number}", "wb") as file, suppress(OSError):
            os.truncate(file.fileno(), 2**62)
    complete(scanner)
    assert re.fullmatch(r"\d+", str(rows(site)["task_1"]["size_bytes"]))


@pytest.mark.costly
def test_scanning_and_deleting_at_the_same_time(site: Site, scanner: Scanner) -> None:
    names = [f"task_{number:03}" for number in range(120)]
    for name in names:
        task(site, name, 2)
    complete(scanner)
    failed: list[Any] = []

    def delete() -> None:
        for start in range(0, 100, 20):
            results = site.engine.delete_group([request(name) for name in names[start : start + 20]])
            failed.extend(result for result in results if isinstance(result, Exception))

    deleting = threading.Thread(target=delete)
    deleting.start()
    while deleting.is_alive():
        complete(scanner)
    deleting.join()
    complete(scanner)
    assert failed == []
    assert sorted(rows(site)) == names[100:]
