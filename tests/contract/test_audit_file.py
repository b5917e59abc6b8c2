"""The audit file agrees with the journal on both databases, whatever happens in between."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.app.auditing import Auditing
from daemon.catalog.catalog import Catalog
from daemon.deletion.audit_file import AuditFile
from daemon.deletion.models import What
from daemon.errors import CatalogUnavailable
from daemon.metrics.registry import Metrics
from support.logs import logged
from support.site import Site, request
from support.stores import Store


@pytest.fixture
def audited(site: Site) -> Site:
    site.catalog.database.audited = True
    return site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
def file(audited: Site, path: Path) -> Iterator[AuditFile]:
    path.parent.mkdir()
    made = AuditFile(audited.catalog, path)
    yield made
    made.close()


def delete(site: Site, *names: str, **options: Any) -> None:
    for name in names:
        site.task(name)
        site.engine.delete(request(name, What.DIRECTORY, **options))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def states(path: Path) -> list[tuple[str, str]]:
    return [(line["task_id"], line["state"]) for line in lines(path)]


def left(store: Store) -> list[Any]:
    return store.query("SELECT task_id FROM sweepd_deletions WHERE audited <> state")


def test_each_deletion_is_a_line_and_what_becomes_of_it_another(audited: Site, file: AuditFile, path: Path) -> None:
    delete(audited, "gone", reason='why "not"\u2028')
    delete(audited, "kept", "back", retain=timedelta(days=7))
    assert file.write() == 3
    assert file.write() == 0
    (back,) = audited.store.ledger("back")
    audited.restorer.restore(back["deletion_id"], "test")
    assert file.write() == 1
    assert states(path) == [("gone", "purged"), ("kept", "committed"), ("back", "committed"), ("back", "restored")]
    assert lines(path)[0]["reason"] == 'why "not"\u2028'
    assert lines(path)[0]["files"] == 3
    assert path.stat().st_mode & 0o777 == 0o640
    assert left(audited.store) == []


def test_of_what_was_before_there_is_nothing(site: Site, tmp_path: Path) -> None:
    delete(site, "before")
    site.catalog.database.audited = True
    delete(site, "after")
    file = AuditFile(site.catalog, tmp_path / "audit.jsonl")
    assert file.write() == 1
    file.close()
    assert states(tmp_path / "audit.jsonl") == [("after", "purged")]


def test_written_and_not_noted_is_not_written_again(audited: Site, file: AuditFile, path: Path) -> None:
    delete(audited, "one", "two")
    file.write()
    audited.store.query("UPDATE sweepd_deletions SET audited = ''")  # killed before it was noted
    delete(audited, "three")
    after = AuditFile(audited.catalog, path)
    assert after.write() == 1
    after.close()
    assert states(path) == [(name, "purged") for name in ("one", "two", "three")]
    assert left(audited.store) == []


def test_a_line_that_was_cut_off_stays_by_itself(audited: Site, file: AuditFile, path: Path) -> None:
    delete(audited, "one")
    file.write()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    delete(audited, "two")
    after = AuditFile(audited.catalog, path)
    after.write()
    after.close()
    first, torn, last = path.read_text().splitlines()
    assert torn == whole[:40].decode()
    assert [json.loads(line)["task_id"] for line in (first, last)] == ["one", "two"]


def test_a_renamed_or_missing_file_is_opened_anew(audited: Site, file: AuditFile, path: Path) -> None:
    for number, name in enumerate(("one", "two", "three")):
        delete(audited, name)
        file.write()
        path.rename(path.with_suffix(f".{number}"))
    found = [states(path.with_suffix(f".{number}")) for number in range(3)]
    assert found == [[(name, "purged")] for name in ("one", "two", "three")]


def test_a_file_that_cannot_be_written_is_told_once_and_caught_up_with(
    audited: Site, file: AuditFile, path: Path
) -> None:
    path.parent.rmdir()
    with logged() as log:
        for name in ("one", "two"):
            delete(audited, name)
            assert file.write() == 0
        path.parent.mkdir()
        assert file.write() == 2
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert [event for event in events if event.startswith("audit_")] == ["audit_file_failed", "audit_file_written"]
    assert states(path) == [("one", "purged"), ("two", "purged")]


def test_a_full_disk_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    audited: Site, file: AuditFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(audited, "one", "two", "three")
    room = [900]
    real = os.write

    def write(fd: int, data: Any) -> int:
        if threading.current_thread() is not threading.main_thread():
            return real(fd, data)
        if room[0] <= 0:
            raise OSError(28, os.strerror(28))
        done = real(fd, bytes(data)[: room[0]])
        room[0] -= done
        return done

    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        assert file.write() == 0
    file.write()
    whole = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    assert [line["task_id"] for line in whole] == ["one", "two", "three"]


@pytest.mark.parametrize("killed", [True, False], ids=["killed before the sync", "the sync failed"])
def test_no_line_counts_as_written_that_was_not_synced(
    audited: Site, file: AuditFile, path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    delete(audited, "one")
    real, synced = os.fsync, list[int]()

    def broken(fd: int) -> None:
        if not os.path.samestat(os.fstat(fd), path.stat()):
            return real(fd)
        raise KeyboardInterrupt if killed else OSError(5, os.strerror(5))

    def noting(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(KeyboardInterrupt) if killed else nullcontext():
            file.write()
    assert len(lines(path)) == 1
    assert left(audited.store) != []
    again = AuditFile(audited.catalog, path) if killed else file
    monkeypatch.setattr(os, "fsync", noting)
    again.write()
    assert path.stat().st_ino in synced
    assert left(audited.store) == []
    # what a failed sync has left behind may never reach the disk
    assert states(path) == [("one", "purged")] * (1 if killed else 2)
    again.close()


def test_a_symlink_is_not_followed(audited: Site, file: AuditFile, path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    delete(audited, "one")
    assert file.write() == 0
    assert not (tmp_path / "elsewhere").exists()


def test_the_database_goes_away_before_it_is_noted(
    audited: Site, file: AuditFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(audited, "one")

    def gone(*_arguments: object) -> None:
        raise CatalogUnavailable("gone")

    with monkeypatch.context() as away:
        away.setattr("daemon.catalog.audit.written", gone)
        with pytest.raises(CatalogUnavailable):
            file.write()
    assert file.write() == 0
    assert states(path) == [("one", "purged")]
    assert left(audited.store) == []


def behind(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("sweepd_audit_file_behind_seconds")


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_how_long_the_file_is_behind_is_told_while_it_cannot_be_written(audited: Site, path: Path) -> None:
    metrics, named = Metrics(), [path]
    auditing = Auditing(audited.catalog, metrics, lambda: named[0] if named else None)
    assert behind(metrics) == 0
    path.parent.mkdir()
    path.mkdir()  # in its place
    delete(audited, "one")
    auditing.start()
    try:
        eventually(lambda: (behind(metrics) or 0) > 1.5)  # over more than one try
        path.rmdir()
        eventually(lambda: behind(metrics) == 0)
        assert states(path) == [("one", "purged")]
        named.clear()
        assert behind(metrics) is None
    finally:
        auditing.stop()


def test_a_database_that_is_away_makes_no_file_late(path: Path) -> None:
    path.parent.mkdir()
    metrics = Metrics()
    catalog = Catalog("postgresql+psycopg2://nobody@127.0.0.1:1/none", timezone=None, running_statuses=("running",))
    auditing = Auditing(catalog, metrics, lambda: path)
    auditing.start()
    try:
        time.sleep(2.6)  # two tries
        assert (behind(metrics) or 0) < 1
    finally:
        auditing.stop()
        catalog.close()
