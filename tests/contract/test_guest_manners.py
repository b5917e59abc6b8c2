"""The pipeline is at home: whatever it locks, in whatever order, it is never the one that PostgreSQL aborts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from daemon.catalog import guest_indexes, prior, setup
from daemon.deletion.models import What
from daemon.errors import ErrorCode, SweepdError, TaskRefused
from support.auditor import DELETED, KEPT, audit_task
from support.site import Site, make_catalog, request

STEP = "UPDATE data_pipeline_task_steps SET error_message = error_message WHERE task_id = 'task_1'"
TASK = "UPDATE data_pipeline_tasks SET error_message = error_message WHERE task_id = 'task_1'"
LOCK_STEPS = "LOCK TABLE data_pipeline_task_steps IN ACCESS EXCLUSIVE MODE"
LOCK_TASKS = "LOCK TABLE data_pipeline_tasks IN ACCESS EXCLUSIVE MODE"
# The pipeline looks soon whether those that wait do so for each other, and has itself aborted then.
LATER_S = 0.3


class Pipeline(threading.Thread):
    """A transaction of the pipeline: one statement, and a while later the other, and so on. ``error``: its end."""

    def __init__(self, url: str, statements: Sequence[str], looks_after: str, waited_for: bool) -> None:
        super().__init__(daemon=True)
        self._waited_for = waited_for
        self._looks_after = looks_after
        self._connection = psycopg2.connect(url)
        self._statements = statements
        self.began = threading.Event()
        self.error: Exception | None = None

    def _wait(self, cursor: Any) -> None:
        """Until somebody waits for this transaction, if it is to; else a moment."""
        time.sleep(LATER_S)
        until = time.monotonic() + (30 if self._waited_for else 0)
        while time.monotonic() < until:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
            if cursor.fetchone()[0]:
                return
            time.sleep(0.02)

    def run(self) -> None:
        try:
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute(f"SET deadlock_timeout = '{self._looks_after}'")
                for number, statement in enumerate(self._statements):
                    if number:
                        self.began.set()
                        self._wait(cursor)
                    cursor.execute(statement)
        except psycopg2.Error as error:
            self.error = error
        finally:
            self.began.set()
            self._connection.close()


def _beside(
    site: Site,
    statements: Sequence[str],
    work: Callable[[], Any],
    looks_after: str = "100ms",
    *,
    waited_for: bool = False,
) -> list[str]:
    """What the work's results were while the pipeline was at it, which has to commit."""
    pipeline = Pipeline(site.store.url, statements, looks_after, waited_for)
    pipeline.start()
    assert pipeline.began.wait(30)
    try:
        done = work()
    except SweepdError as error:
        done = [error]
    pipeline.join(60)
    assert pipeline.error is None
    results = done if isinstance(done, list) else [done]
    return [one.code if isinstance(one, SweepdError) else one if isinstance(one, str) else "done" for one in results]


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param([STEP, TASK], id="step-then-task"),
        pytest.param([TASK, STEP], id="task-then-step"),
        pytest.param([LOCK_STEPS, LOCK_TASKS], id="tables-backwards"),
        pytest.param([TASK, LOCK_TASKS], id="row-then-table"),
    ],
)
def test_a_deletion_waits_for_nothing_while_it_holds_what_the_pipeline_wants(
    postgres_site: Site, statements: Sequence[str]
) -> None:
    site = postgres_site
    before = site.task("task_1")
    assert _beside(site, statements, lambda: site.engine.delete(request("task_1"))) == ["done"]
    assert audit_task(site.store, site.path, before) == DELETED


@pytest.mark.parametrize("statements", [[STEP, TASK], [TASK, STEP]], ids=["step-then-task", "task-then-step"])
def test_nor_does_a_group(postgres_site: Site, statements: Sequence[str]) -> None:
    site = postgres_site
    for number in range(3):
        site.task(f"task_{number}")
    names = [f"task_{number}" for number in range(3)]
    assert (
        _beside(site, statements, lambda: site.engine.delete_group([request(name) for name in names])) == ["done"] * 3
    )


def test_a_step_that_stays_locked_keeps_its_task_alone(postgres_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.catalog.database.LOCK_TIMEOUT_S", 0.2)
    site = postgres_site
    before = [site.task(f"task_{number}") for number in range(3)]
    with contextlib.closing(psycopg2.connect(site.store.url)) as pipeline:
        pipeline.cursor().execute(STEP)
        results = site.engine.delete_group([request(one.task_id) for one in before])
    assert [one.code if isinstance(one, SweepdError) else "done" for one in results] == [
        "done",
        ErrorCode.TASK_BUSY,
        "done",
    ]
    assert site.store.task("task_1")["directory_exists"] is True  # type: ignore[index]
    assert (site.path / "task_1").is_dir()


def test_what_a_foreign_key_of_the_pipeline_locks_is_not_waited_for(postgres_site: Site) -> None:
    site = postgres_site
    before = site.task("task_1")
    reference = "task_id VARCHAR(32) REFERENCES data_pipeline_tasks ON DELETE CASCADE"
    site.store.query(f"CREATE TABLE reports ({reference}, note TEXT)")
    site.store.query("INSERT INTO reports VALUES ('task_1', '')")
    report = "UPDATE reports SET note = 'x'"
    try:
        with contextlib.closing(psycopg2.connect(site.store.url)) as pipeline:
            pipeline.cursor().execute(report)
            with pytest.raises(TaskRefused) as caught:
                site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS))
        assert caught.value.code is ErrorCode.TASK_BUSY
        assert audit_task(site.store, site.path, before) == KEPT
        done = _beside(site, [report, TASK], lambda: site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS)))
        if done == [ErrorCode.TASK_BUSY]:
            site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS))
        assert audit_task(site.store, site.path, before) == DELETED
    finally:
        site.store.query("DROP TABLE reports")


def test_nor_is_what_a_restore_needs(postgres_site: Site) -> None:
    site = postgres_site
    site.store.query("CREATE TABLE people (by_user VARCHAR(50) PRIMARY KEY, note TEXT)")
    site.store.query("INSERT INTO people VALUES ('alice', '')")
    site.store.query("ALTER TABLE data_pipeline_tasks ADD FOREIGN KEY (by_user) REFERENCES people")
    try:
        before = site.task("task_1", by_user="alice")
        site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS, retain=timedelta(days=1)))
        # the same key is about to come again, after the parent was locked
        again = "INSERT INTO data_pipeline_tasks (task_id, parameters) VALUES ('task_1', '{}') ON CONFLICT DO NOTHING"
        gone = "DELETE FROM data_pipeline_tasks WHERE parameters = '{}'"
        statements = ["SELECT 1 FROM people FOR UPDATE", again, gone]
        assert _beside(site, statements, lambda: site.restorer.restore_task("task_1", "test")) == ["done"]
        assert audit_task(site.store, site.path, before) == KEPT
    finally:
        site.store.query("DROP TABLE people CASCADE")


def test_who_places_a_hold_waits_for_no_table_while_deletions_wait_for_it(postgres_site: Site) -> None:
    site = postgres_site
    before = site.task("task_1")
    placed: list[Any] = []

    def both() -> Any:
        placing = threading.Thread(target=lambda: placed.append(site.hold("task_2")))
        placing.start()
        try:
            return site.engine.delete(request("task_1"))
        finally:
            placing.join()

    assert _beside(site, [LOCK_STEPS, LOCK_TASKS], both) == ["done"]
    assert len(placed) == 1
    assert audit_task(site.store, site.path, before) == DELETED


def test_a_reader_does_not_hold_one_table_while_it_waits_for_the_other(postgres_site: Site) -> None:
    site = postgres_site
    site.task("task_1")
    catalog = make_catalog(site.store)  # as a command has it, which has seen no table yet

    def read() -> int:
        try:
            with catalog.read() as session:
                return len(prior.running(session.connection, session.tables, ("running",)))
        finally:
            catalog.close()

    assert _beside(site, [LOCK_STEPS, LOCK_TASKS], read) == ["done"]


def test_an_index_is_given_up_as_soon_as_somebody_waits_for_it(postgres_site: Site) -> None:
    site = postgres_site
    site.store.query("DROP INDEX sweepd_updated_tasks")
    # the index waits for this transaction, which then wants what the index has
    statements = [TASK, "LOCK TABLE data_pipeline_tasks IN SHARE ROW EXCLUSIVE MODE"]
    work = lambda: guest_indexes.add_indexes(site.catalog.database)  # noqa: E731
    done = _beside(site, statements, work, looks_after="1s", waited_for=True)
    assert done == [ErrorCode.CATALOG_UNAVAILABLE]
    assert guest_indexes.add_indexes(site.catalog.database) == ["sweepd_updated_tasks"]


def test_a_column_is_not_waited_for_longer_than_the_pipeline_can_bear(postgres_site: Site) -> None:
    site = postgres_site
    site.store.query("ALTER TABLE data_pipeline_tasks DROP COLUMN directory_exists")
    done = _beside(site, [TASK, LOCK_TASKS], lambda: setup.adopt_pipeline(site.catalog.database), looks_after="1s")
    assert done == ["directory_exists"]
