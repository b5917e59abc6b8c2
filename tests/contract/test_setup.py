"""Making a database ready changes what it has to, once, and nothing else, while the pipeline goes on working."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from daemon.catalog import guest_indexes, setup, tasks
from daemon.catalog.database import Database
from daemon.catalog.tables import metadata
from daemon.errors import CatalogNotReady, CatalogUnavailable, StartupRefused
from support.postgres import PostgresServer, connect, create_pipeline_tables
from support.processes import ForkServer
from support.site import make_catalog
from support.stores import Store

GUESTS = {"directory_exists", "updated_at"}


@pytest.fixture(params=["sqlite", "postgresql", "postgresql-older"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A database before sweepd: on PostgreSQL with the pipeline's tables, of which the older ones have no names."""
    if request.param == "sqlite":
        path = tmp_path / "catalog.sqlite"
        path.touch()
        return Store(f"sqlite:///{path}")
    named = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url")
    create_pipeline_tables(url, task_name=named)
    return Store(url, task_name=named)


@pytest.fixture
def database(fresh: Store) -> Iterator[Database]:
    made = Database(fresh.url)
    yield made
    made.close()


@pytest.fixture
def pipeline(postgres_url: str) -> Store:
    """The same on PostgreSQL alone."""
    create_pipeline_tables(postgres_url)
    return Store(postgres_url)


def columns(store: Store) -> dict[tuple[str, str], dict[str, Any]]:
    statement = (
        "SELECT * FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'sweepd%%'"
    )
    return {(row["table_name"], row["column_name"]): row for row in store.query(statement)}


def everything(store: Store) -> list[list[dict[str, Any]]]:
    """What the pipeline's tables are made of beside their columns."""
    of_pipeline = "(SELECT oid FROM pg_class WHERE relname LIKE '%%data_pipeline%%')"
    return [
        store.query(
            f"SELECT conname, pg_get_constraintdef(oid) d FROM pg_constraint WHERE conrelid IN {of_pipeline} ORDER BY 1"
        ),
        store.query("SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'data_pipeline%%' ORDER BY 1"),
        store.query("SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'"),
        store.query(f"SELECT tgname FROM pg_trigger WHERE tgrelid IN {of_pipeline} ORDER BY 1"),
        store.query("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"),
        store.query("SELECT relname FROM pg_class WHERE relkind = 'S' AND relname NOT LIKE 'sweepd%%' ORDER BY 1"),
    ]


def test_a_fresh_database_becomes_ready_and_doing_it_again_changes_nothing(fresh: Store, database: Database) -> None:
    catalog = make_catalog(fresh)
    with pytest.raises(CatalogNotReady, match="sweepd init"):
        catalog.check()
    assert setup.migrate(database) == setup.SCHEMA
    assert set(setup.adopt_pipeline(database)) == (set() if fresh.sqlite else GUESTS)
    catalog.check()
    fresh.add_task("task_1", status="completed")
    before = fresh.task("task_1")
    assert setup.migrate(database) is None
    assert setup.adopt_pipeline(database) == []
    assert fresh.task("task_1") == before
    with catalog.read() as session:
        row = tasks.find(session.connection, session.tables, "task_1")
    assert row is not None
    assert (row.task_id, row.task_name, row.directory_exists) == ("task_1", None, True)
    catalog.close()


def test_many_processes_may_do_it_at_once(fresh: Store, processes: ForkServer) -> None:
    children = [
        processes.spawn("support.setting_up:prepare", url=fresh.url, root_id="one-and-the-same") for _ in range(3)
    ]
    said = [child.wait().value for child in children]
    assert sorted(revision is not None for revision, _, _ in said) == [False] * 2 + [True]
    assert sorted(tied for _, _, tied in said) == [False] * 2 + [True]
    assert [row["root_id"] for row in fresh.query("SELECT root_id FROM sweepd_roots")] == ["one-and-the-same"]
    catalog = make_catalog(fresh)
    catalog.check()
    catalog.close()


@pytest.mark.parametrize(
    ("ids", "said"), [("same", [False, False, False, True]), ("own", ["StartupRefused"] * 3 + [True])]
)
def test_of_processes_that_register_a_root_at_once_one_does(
    store: Store, processes: ForkServer, ids: str, said: list[object]
) -> None:
    for _ in range(2):
        store.query("DELETE FROM sweepd_roots")
        start = time.time() + 0.1
        children = [
            processes.spawn(
                "support.setting_up:register", url=store.url, root_id="one" if ids == "same" else f"{n}", start=start
            )
            for n in range(4)
        ]
        assert sorted((child.wait().value for child in children), key=str) == sorted(said, key=str)
        assert len(store.query("SELECT root_id FROM sweepd_roots")) == 1


@pytest.mark.parametrize("named", [True, False], ids=["named", "older"])
def test_two_columns_are_added_to_the_pipelines_table_and_nothing_else(postgres_url: str, named: bool) -> None:
    create_pipeline_tables(postgres_url, task_name=named)
    store = Store(postgres_url)
    store.add_task("task_old", status="completed")
    store.add_step("task_old")
    row, before, rest = store.task("task_old"), columns(store), everything(store)
    database = Database(postgres_url)
    setup.migrate(database)
    setup.adopt_pipeline(database)
    database.close()
    after = columns(store)
    assert {key: after[key] for key in before} == before
    assert {name for table, name in after.keys() - before.keys()} == GUESTS
    assert {table for table, name in after.keys() - before.keys()} == {"data_pipeline_tasks"}
    assert everything(store) == rest
    added = {name: after["data_pipeline_tasks", name] for name in GUESTS}
    assert (added["directory_exists"]["data_type"], added["directory_exists"]["column_default"]) == ("boolean", "true")
    assert added["updated_at"]["data_type"] == "timestamp without time zone"
    assert {column["is_nullable"] for column in added.values()} == {"YES"}
    assert store.task("task_old") == {**(row or {}), "directory_exists": True, "updated_at": None}
    assert len(store.query("SELECT * FROM v_data_pipeline_task_steps")) == 1


def test_a_column_that_the_pipeline_has_added_itself_is_left_as_it_is(pipeline: Store) -> None:
    pipeline.query("ALTER TABLE data_pipeline_tasks ADD COLUMN updated_at TIMESTAMP DEFAULT now()")
    before = columns(pipeline)
    database = Database(pipeline.url)
    assert setup.adopt_pipeline(database) == ["directory_exists"]
    database.close()
    after = columns(pipeline)
    assert {key: after[key] for key in before} == before


def test_adoption_waits_for_another_transaction_and_lets_the_pipeline_read_meanwhile(pipeline: Store) -> None:
    pipeline.add_task("task_1")
    database = Database(pipeline.url)
    holder = psycopg2.connect(pipeline.url)
    slowest = 0.0
    added: list[list[str]] = []
    with holder.cursor() as cursor:
        cursor.execute("SELECT 1 FROM data_pipeline_tasks")  # even a reader's lock keeps ALTER TABLE waiting
        thread = threading.Thread(target=lambda: added.append(setup.adopt_pipeline(database)))
        thread.start()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            started = time.monotonic()
            assert len(pipeline.query("SELECT task_id FROM data_pipeline_tasks")) == 1
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.02)
        assert added == []
    holder.close()
    thread.join(30)
    database.close()
    assert [set(names) for names in added] == [GUESTS]
    assert slowest < 1.5


def test_adoption_of_a_table_that_stays_locked_gives_up_with_what_to_do(
    pipeline: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "_ALTER_TRIES", 2)
    monkeypatch.setattr(setup, "_ALTER_PAUSE_S", 0.01)
    monkeypatch.setattr(setup, "_ALTER_LOCK_TIMEOUT", "50ms")
    database, holder = Database(pipeline.url), psycopg2.connect(pipeline.url)
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE data_pipeline_tasks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(CatalogUnavailable, match="stayed locked"):
            setup.adopt_pipeline(database)
    holder.close()
    database.close()
    assert not GUESTS & {name for _, name in columns(pipeline)}


def test_a_database_without_the_pipelines_table_is_refused_and_left_alone(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(CatalogNotReady, match=r"catalog\.url"):
        setup.adopt_pipeline(database)
    database.close()
    assert Store(postgres_url).query("SELECT * FROM pg_tables WHERE schemaname = 'public'") == []


def test_the_index_of_running_steps_is_made_once(fresh: Store, database: Database) -> None:
    setup.adopt_pipeline(database)
    assert guest_indexes.add_indexes(database) == ["sweepd_running_steps", "sweepd_updated_tasks"]
    assert guest_indexes.add_indexes(database) == []
    catalog = make_catalog(fresh)
    setup.migrate(database)
    with catalog.read() as session:
        statement = sa.select(session.tables.tasks.c.task_id).where(session.tables.running(("running",)))
        compiled = statement.compile(session.connection, compile_kwargs={"render_postcompile": True})
        explain = "EXPLAIN QUERY PLAN " if fresh.sqlite else "EXPLAIN "
        if not fresh.sqlite:
            session.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the table is empty
        values = compiled.construct_params()
        ordered = tuple(values[name] for name in compiled.positiontup or ()) if fresh.sqlite else values
        lines = session.connection.exec_driver_sql(explain + str(compiled), ordered).all()
    catalog.close()
    assert "sweepd_running_steps" in str(lines)


def test_an_index_is_made_while_the_pipeline_writes_and_one_given_up_half_way_is_made_again(
    pipeline: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(pipeline.url)
    pipeline.add_task("task_1", status="in_progress")
    pipeline.add_task("task_2", status="in_progress")
    monkeypatch.setattr(guest_indexes, "_PATIENCE", "300ms")
    with pipeline.locking("task_1") as cursor:
        cursor.execute(
            "INSERT INTO data_pipeline_task_steps (task_id, step_name, step_status)"
            " VALUES ('task_1', 'qa_generation', 'running')"
        )
        with pytest.raises(CatalogUnavailable, match="sweepd init"):
            guest_indexes.add_indexes(database)
        pipeline.query("SET lock_timeout = '2s'")
        pipeline.add_step("task_2", "running")  # nobody waited
    assert pipeline.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'sweepd_running_steps'::regclass") == [
        {"indisvalid": False}
    ]
    assert guest_indexes.add_indexes(database) == ["sweepd_running_steps"]
    assert guest_indexes.add_indexes(database) == []
    database.close()


def test_an_sqlite_table_of_somebody_elses_gets_the_two_columns(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").touch()
    store = Store(f"sqlite:///{tmp_path}/catalog.sqlite")
    store.query("CREATE TABLE data_pipeline_tasks (task_id VARCHAR(32) PRIMARY KEY, status TEXT, parameters TEXT)")
    store.add_task("task_1")
    database = Database(store.url)
    assert set(setup.adopt_pipeline(database)) == GUESTS
    assert setup.adopt_pipeline(database) == []
    database.close()
    row = store.task("task_1")
    assert row is not None
    assert (row["directory_exists"], row["updated_at"]) == (1, None)


def test_a_missing_sqlite_file_is_not_created_by_looking(tmp_path: Path) -> None:
    catalog = make_catalog(Store(f"sqlite:///{tmp_path}/wrong.sqlite"))
    with pytest.raises(CatalogNotReady, match="sweepd init"):
        catalog.check()
    assert list(tmp_path.iterdir()) == []


def test_the_tables_the_migrations_make_are_the_tables_the_code_means(fresh: Store, database: Database) -> None:
    setup.migrate(database)

    def own(_object: object, name: str | None, kind: str, _reflected: bool, _compare: object) -> bool:
        return kind != "table" or ((name or "").startswith("sweepd_") and name != setup.VERSION_TABLE)

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": own, "compare_type": True})
        assert compare_metadata(context, metadata) == []
        checks = sa.inspect(connection).get_check_constraints("sweepd_deletions")
    assert [check["name"] for check in checks] == ["sweepd_deletions_state"]
    assert fresh.query("SELECT version_num FROM sweepd_alembic_version") == [{"version_num": setup.SCHEMA}]


def test_a_schema_of_another_version_is_refused(store: Store) -> None:
    store.query("UPDATE sweepd_alembic_version SET version_num = '9999'")
    catalog = make_catalog(store)
    with pytest.raises(CatalogNotReady, match="9999"), catalog.read():
        pass
    catalog.close()


def test_the_first_root_is_registered_and_another_needs_a_word(store: Store) -> None:
    database, catalog = Database(store.url), make_catalog(store)
    with pytest.raises(CatalogNotReady, match="sweepd init"):
        catalog.root_id()
    assert setup.register_root(database, "first", "/srv/a", replace=False)
    assert not setup.register_root(database, "first", "/srv/a", replace=False)
    with pytest.raises(StartupRefused, match="--replace-root"):
        setup.register_root(database, "second", "/srv/b", replace=False)
    assert catalog.root_id() == "first"
    assert setup.register_root(database, "second", "/srv/b", replace=True)
    assert [row["root_id"] for row in store.query("SELECT root_id FROM sweepd_roots")] == ["second"]
    database.close()
    catalog.close()


def test_a_directory_that_is_neither_there_nor_gone_reads_as_there(store: Store) -> None:
    for task_id, exists in (("task_null", None), ("task_true", True), ("task_false", False)):
        store.add_task(task_id, directory_exists=exists)
    catalog = make_catalog(store)
    with catalog.read() as session:
        found = [tasks.find(session.connection, session.tables, f"task_{word}") for word in ("null", "true", "false")]
    assert {row.task_id: row.directory_exists for row in found if row is not None} == {
        "task_null": True,
        "task_true": True,
        "task_false": False,
    }
    catalog.close()


def test_every_session_of_a_database_that_is_down_says_unavailable(
    postgres_server: PostgresServer, postgres_store: Store
) -> None:
    with connect(postgres_store.url):
        pass
    database = Database(postgres_store.url)
    postgres_server.stop("immediate")
    for work in (
        lambda: setup.migrate(database),
        lambda: setup.adopt_pipeline(database),
        lambda: setup.register_root(database, "a", "b", replace=False),
        lambda: make_catalog(postgres_store).check(),
    ):
        with pytest.raises(CatalogUnavailable):
            work()
    database.close()
