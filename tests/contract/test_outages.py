"""The database goes away at every moment of a deletion: nothing is lost, and recovery settles what is left."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog import ledger
from daemon.deletion.models import Outcome, What
from daemon.errors import CatalogNotReady, CatalogUnavailable, ErrorCode, TaskRefused
from daemon.storage import moves, syscalls
from daemon.storage.trash import TrashEntry
from support.auditor import DELETED, KEPT, Before, audit
from support.postgres import PostgresServer, connect
from support.prepared import Prepared
from support.scanning import make_scanner
from support.site import Site, opened, request
from support.stores import Store
from support.tcp_proxy import Cut, TcpProxy
from support.trees import snapshot

WHATS = [What.DIRECTORY, What.DIRECTORY_AND_RECORDS]


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[TcpProxy]:
    made = TcpProxy(postgres_server.port)
    yield made
    made.close()


@pytest.fixture
def far_site(postgres_store: Store, proxy: TcpProxy, tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Site]:
    """An installation that reaches its database through the proxy."""
    url = postgres_server.url(postgres_store.url.rpartition("/")[2], port=proxy.port)
    with opened(postgres_store, tmp_path / "root", url=url) as site:
        site.init()
        yield site


def armed(site: Site, proxy: TcpProxy, cut: Cut, *, stays_away: bool) -> Before:
    before = site.task("task_1", files=7)
    site.catalog.check()
    site.catalog.root_id()
    proxy.cut, proxy.refuse_after_cut = cut, stays_away
    return before


@pytest.mark.parametrize("what", WHATS)
def test_a_commit_that_is_lost_on_its_way_is_undone(far_site: Site, proxy: TcpProxy, what: What) -> None:
    before = armed(far_site, proxy, Cut.BEFORE, stays_away=False)
    with pytest.raises(CatalogUnavailable, match="nothing was deleted"):
        far_site.engine.delete(request("task_1", what))
    assert proxy.cuts == 1
    assert audit(far_site.store, far_site.path, [before]) == {"task_1": KEPT}
    assert [entry["state"] for entry in far_site.store.ledger("task_1")] == ["aborted"]
    far_site.engine.delete(request("task_1", what))
    assert audit(far_site.store, far_site.path, [before]) == {"task_1": DELETED}


@pytest.mark.parametrize("what", WHATS)
def test_a_commit_whose_answer_is_lost_is_a_success(far_site: Site, proxy: TcpProxy, what: What) -> None:
    before = armed(far_site, proxy, Cut.AFTER, stays_away=False)
    outcome = far_site.engine.delete(request("task_1", what))
    assert proxy.cuts == 1
    assert tuple(outcome.counts.to_json().values()) == before.counts
    assert audit(far_site.store, far_site.path, [before]) == {"task_1": DELETED}


@pytest.mark.parametrize(("cut", "fate"), [(Cut.BEFORE, KEPT), (Cut.AFTER, DELETED)])
@pytest.mark.parametrize("what", WHATS)
def test_a_database_that_stays_away_after_the_commit_leaves_the_answer_to_recovery(
    far_site: Site, proxy: TcpProxy, what: What, cut: Cut, fate: str
) -> None:
    before = armed(far_site, proxy, cut, stays_away=True)
    with pytest.raises(CatalogUnavailable, match="the directory is safe"):
        far_site.engine.delete(request("task_1", what))
    (entry,) = far_site.entries()
    for _ in range(2):
        with pytest.raises(CatalogUnavailable):
            far_site.recovery.run()
        assert snapshot(far_site.held(entry)) == before.tree
    proxy.refuse = False
    far_site.recovery.run()
    assert audit(far_site.store, far_site.path, [before]) == {"task_1": fate}


@pytest.mark.parametrize("what", WHATS)
def test_a_commit_that_arrives_late_cannot_overtake_the_recovery(
    far_site: Site, proxy: TcpProxy, what: What, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.catalog.database.LOCK_TIMEOUT_S", 0.2)
    before = armed(far_site, proxy, Cut.DELAYED, stays_away=False)
    with pytest.raises(CatalogUnavailable, match="the directory is safe"):
        far_site.engine.delete(request("task_1", what))
    (entry,) = far_site.entries()
    assert dict(far_site.recovery.run()) == {"blocked": 1}
    assert snapshot(far_site.held(entry)) == before.tree
    proxy.deliver()
    assert dict(far_site.recovery.run()) == {"finished": 1}
    assert audit(far_site.store, far_site.path, [before]) == {"task_1": DELETED}


def test_a_commit_that_arrives_while_recovery_waits_for_it_is_carried_on_at_once(
    far_site: Site, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.catalog.database.LOCK_TIMEOUT_S", 0.2)
    before = armed(far_site, proxy, Cut.DELAYED, stays_away=False)
    with pytest.raises(CatalogUnavailable, match="the directory is safe"):
        far_site.engine.delete(request("task_1"))
    monkeypatch.setattr("daemon.catalog.database.LOCK_TIMEOUT_S", 20)
    far_site.catalog.close()  # the patience of a connection is set when it is made
    late = threading.Timer(0.5, proxy.deliver)
    late.start()
    assert dict(far_site.recovery.run()) == {"finished": 1}
    late.join()
    assert far_site.entries() == []
    assert audit(far_site.store, far_site.path, [before]) == {"task_1": DELETED}


def test_a_purge_from_the_trash_whose_counts_are_not_journaled_keeps_them(
    far_site: Site, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files gone, the journal not told: the next purge of what is due must not take it for removed by hand."""
    before = far_site.task("task_1", files=7)
    far_site.engine.delete(request("task_1", retain=timedelta(microseconds=1)))
    remove = TrashEntry.purge

    def remove_and_lose_the_database(*arguments: Any) -> None:
        remove(*arguments)
        proxy.cut, proxy.refuse_after_cut = Cut.BEFORE, True

    with monkeypatch.context() as patch:
        patch.setattr(TrashEntry, "purge", remove_and_lose_the_database)
        assert far_site.retention.purge_expired() == 0
    proxy.refuse = False
    assert far_site.retention.purge_expired() == 0
    assert far_site.store.ledger("task_1")[0]["state"] == "committed", "recovery knows the counts"
    assert dict(far_site.recovery.run()) == {"finished": 1}
    assert audit(far_site.store, far_site.path, [before]) == {"task_1": DELETED}


def test_the_tombstone_keeps_a_late_journal_entry_out(site: Site) -> None:
    """A deletion that recovery has undone can never commit any more, however late it tries."""
    before = site.task("task_1")
    entry = ledger.Entry("d" * 28, "task_1", "directory", "api", "test", None, None, False, True, False)
    with site.catalog.write() as session:
        assert ledger.abort(session.connection, [entry]) == {entry.deletion_id: ledger.State.ABORTED}
        assert ledger.abort(session.connection, [entry]) == {entry.deletion_id: ledger.State.ABORTED}
    with pytest.raises(Exception, match=r"(?i)unique"), site.catalog.write() as session:
        ledger.insert(session.connection, [entry], ledger.State.COMMITTED, session.now.utc)
    assert site.store.task("task_1") == before.row
    assert [row["state"] for row in site.store.ledger("task_1")] == ["aborted"]


def test_a_database_that_is_down_from_the_start_touches_nothing(
    postgres_site: Site, postgres_server: PostgresServer
) -> None:
    before = postgres_site.task("task_1")
    postgres_server.stop("fast")
    with pytest.raises(CatalogUnavailable):
        postgres_site.engine.delete(request("task_1"))
    with pytest.raises(CatalogUnavailable):
        fresh = Site(postgres_site.store, postgres_site.path)
        fresh.recovery.run()
    assert snapshot(postgres_site.path / "task_1") == before.tree
    postgres_server.start()
    postgres_site.engine.delete(request("task_1"))  # the pool reconnects by itself
    assert audit(postgres_site.store, postgres_site.path, [before]) == {"task_1": DELETED}


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_database_that_stops_right_after_the_move_has_it_undone(
    postgres_site: Site, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    before = postgres_site.task("task_1")
    rename = syscalls.rename_noreplace

    def and_stop(*arguments: object) -> None:
        rename(*arguments)  # type: ignore[arg-type]
        postgres_server.stop(mode)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(moves, "rename_noreplace", and_stop)
        with pytest.raises(CatalogUnavailable):
            postgres_site.engine.delete(request("task_1"))
    assert snapshot(postgres_site.path / "task_1") == before.tree
    postgres_server.start()
    assert dict(postgres_site.recovery.run()) == {}
    assert audit(postgres_site.store, postgres_site.path, [before]) == {"task_1": KEPT}


@pytest.mark.parametrize("what", WHATS)
def test_a_database_that_stops_right_before_the_commit_is_asked_when_it_is_back(
    postgres_site: Site, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, what: What
) -> None:
    before = postgres_site.task("task_1")
    insert = ledger.insert

    def and_stop(*arguments: Any) -> int:
        changed = insert(*arguments)
        postgres_server.stop("immediate")
        return changed

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "insert", and_stop)
        with pytest.raises(CatalogUnavailable, match="the directory is safe"):
            postgres_site.engine.delete(request("task_1", what))
    postgres_server.start()
    assert dict(postgres_site.recovery.run()) == {"undone": 1}
    assert audit(postgres_site.store, postgres_site.path, [before]) == {"task_1": KEPT}


def test_a_database_that_stops_during_the_purge_gets_its_journal_entry_later(
    postgres_site: Site, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = postgres_site.task("task_1", files=20)
    finish = ledger.finish

    def and_stop(*arguments: object) -> set[str]:
        postgres_server.stop("immediate")
        return finish(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "finish", and_stop)
        outcome = postgres_site.engine.delete(request("task_1"))
    assert tuple(outcome.counts.to_json().values()) == before.counts
    postgres_server.start()
    assert [entry["state"] for entry in postgres_site.store.ledger("task_1")] == ["committed"]
    assert dict(postgres_site.recovery.run()) == {"finished": 1}
    assert audit(postgres_site.store, postgres_site.path, [before]) == {"task_1": DELETED}
    assert postgres_site.metric("sweepd_deleted_files_total", trigger="api") == before.counts[0]


def test_a_row_that_somebody_else_holds_is_busy_and_the_task_stays(
    postgres_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.catalog.database.LOCK_TIMEOUT_S", 0.2)
    postgres_site.catalog.close()  # the patience of a connection is set when it is made
    before = postgres_site.task("task_1")
    with postgres_site.store.locking("task_1"):
        started = time.monotonic()
        with pytest.raises(TaskRefused) as caught:
            postgres_site.engine.delete(request("task_1"))
        assert time.monotonic() - started < 3
    assert caught.value.code is ErrorCode.TASK_BUSY
    assert audit(postgres_site.store, postgres_site.path, [before]) == {"task_1": KEPT}


def test_a_table_that_stays_locked_for_a_reader_is_the_databases_matter(
    postgres_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.catalog.database.LOCK_TIMEOUT_S", 0.2)
    postgres_site.catalog.close()
    with connect(postgres_site.store.url) as other, other.cursor() as cursor:
        other.autocommit = False
        cursor.execute("LOCK TABLE sweepd_deletions IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(CatalogUnavailable, match="locked"):
            postgres_site.retention.waiting()
        other.rollback()
    assert postgres_site.retention.waiting() == []


def test_a_server_that_only_reads_leaves_everything(postgres_site: Site, prepared: Prepared) -> None:
    """A standby after a failover, say."""
    store = prepared.postgresql(timezone="UTC")
    try:
        with opened(store, postgres_site.path.with_name("other")) as site:
            site.init()
            before = site.task("task_1")
            database = store.url.rpartition("/")[2]
            store.query(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
            site.catalog.close()
            with pytest.raises(CatalogUnavailable, match="read-only"):
                site.engine.delete(request("task_1"))
            assert snapshot(site.path / "task_1") == before.tree
            assert site.entries() == []
    finally:
        prepared.give_back(store)


def test_a_server_that_only_reads_is_noticed_before_anything_is_asked_of_it(
    postgres_site: Site, prepared: Prepared
) -> None:
    store = prepared.postgresql(timezone="UTC")
    try:
        with opened(store, postgres_site.path.with_name("other")) as site:
            site.catalog.check()
            store.query(f"ALTER DATABASE {store.url.rpartition('/')[2]} SET default_transaction_read_only = on")
            site.catalog.close()
            with pytest.raises(CatalogUnavailable, match="takes no changes"):
                site.catalog.check()
    finally:
        prepared.give_back(store)


def test_rows_hidden_by_row_security_make_no_orphans(postgres_site: Site) -> None:
    """They are asked for as an error, not left out: what has a row for somebody is nobody's orphan."""
    before = postgres_site.task("task_1", status="in_progress")
    make_scanner(postgres_site).scan()
    role = f"tenant_{secrets.token_hex(4)}"
    postgres_site.store.query(f"CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    postgres_site.store.query("ALTER TABLE data_pipeline_tasks ENABLE ROW LEVEL SECURITY")
    url = postgres_site.store.url.replace("//sweepd@", f"//{role}@")
    try:
        with opened(postgres_site.store, postgres_site.path, url=url) as site:
            with pytest.raises(CatalogNotReady, match="row-level security"):
                site.engine.delete(request("task_1", orphan=True))
        assert audit(postgres_site.store, postgres_site.path, [before]) == {"task_1": KEPT}
    finally:
        postgres_site.store.query("ALTER TABLE data_pipeline_tasks DISABLE ROW LEVEL SECURITY")
        postgres_site.store.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_vanished_server_is_given_up_before_long(far_site: Site) -> None:
    with far_site.catalog.read() as session:
        driver: Any = session.connection.connection.dbapi_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as connection:
            patience = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert 0 < patience <= 60_000
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60


TRIGGER = """
CREATE FUNCTION billed() RETURNS trigger AS $$
BEGIN IF OLD.task_id = 'task_1' THEN RAISE EXCEPTION 'it is billed'; END IF; RETURN OLD; END $$ LANGUAGE plpgsql;
CREATE TRIGGER billed BEFORE DELETE ON data_pipeline_tasks FOR EACH ROW EXECUTE FUNCTION billed()
"""
DEFERRED = """
CREATE TABLE bills (task_id varchar(32) REFERENCES data_pipeline_tasks(task_id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO bills VALUES ('task_1')
"""


@pytest.mark.parametrize(
    ("made", "dropped", "code"),
    [
        (TRIGGER, "DROP FUNCTION billed() CASCADE", ErrorCode.DELETION_FAILED),
        (DEFERRED, "DROP TABLE bills", ErrorCode.RECORDS_IN_USE),
    ],
)
def test_what_the_database_refuses_of_one_row_is_that_tasks_alone(
    postgres_site: Site, made: str, dropped: str, code: ErrorCode
) -> None:
    site = postgres_site
    before = [site.task("task_1"), site.task("task_2")]
    site.store.query(made)
    try:
        refused, deleted = site.engine.delete_group(
            [request(task_id, What.DIRECTORY_AND_RECORDS) for task_id in ("task_1", "task_2")]
        )
    finally:
        site.store.query(dropped)
    assert isinstance(refused, TaskRefused)
    assert refused.code is code
    assert isinstance(deleted, Outcome)
    assert audit(site.store, site.path, before) == {"task_1": KEPT, "task_2": DELETED}


def test_text_of_sqlite_that_is_none_is_that_tasks_alone(prepared: Prepared, tmp_path: Path) -> None:
    with opened(prepared.sqlite(tmp_path), tmp_path / "root") as site:
        site.init()
        before = [site.task("task_1"), site.task("task_2")]
        site.store.query(
            "UPDATE data_pipeline_tasks SET error_message = CAST(x'ff80' AS TEXT) WHERE task_id = 'task_1'"
        )
        week = timedelta(days=7)
        refused, deleted = site.engine.delete_group(
            [request(one.task_id, What.DIRECTORY_AND_RECORDS, retain=week) for one in before]
        )
        assert isinstance(refused, TaskRefused)
        assert "not UTF-8" in str(refused)
        assert isinstance(deleted, Outcome)
        assert (tmp_path / "root" / "task_1").is_dir()


def test_a_user_who_may_not_write_is_told_so_and_everything_stays(postgres_site: Site) -> None:
    before = postgres_site.task("task_1")
    role = f"reader_{secrets.token_hex(4)}"
    postgres_site.store.query(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    url = postgres_site.store.url.replace("//sweepd@", f"//{role}@")
    try:
        with opened(postgres_site.store, postgres_site.path, url=url) as site:
            with pytest.raises(CatalogNotReady, match="grant"):
                site.engine.delete(request("task_1"))
        assert audit(postgres_site.store, postgres_site.path, [before]) == {"task_1": KEPT}
    finally:
        postgres_site.store.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_damaged_sqlite_file_is_unavailable(prepared: Prepared, tmp_path: Path) -> None:
    with opened(prepared.sqlite(tmp_path), tmp_path / "root") as site:
        site.init()
        before = site.task("task_1")
        site.catalog.root_id()
        site.catalog.close()
        (tmp_path / "catalog.sqlite").write_bytes(b"no database at all" * 1000)
        with pytest.raises(CatalogUnavailable):
            site.engine.delete(request("task_1"))
        assert snapshot(site.path / "task_1") == before.tree


@pytest.mark.parametrize("url", ["user:hunter2@127.0.0.1:1/none", "user@127.0.0.1:1/none?password=hunter2"])
def test_a_message_about_the_database_holds_no_password(tmp_path: Path, url: str) -> None:
    with opened(Store(f"postgresql://{url}"), tmp_path / "root") as site:
        with pytest.raises(CatalogUnavailable) as caught:
            site.engine.delete(request("task_1"))
        with pytest.raises(CatalogUnavailable) as again:
            site.recovery.run()
    assert "hunter2" not in f"{caught.value}{again.value}"
