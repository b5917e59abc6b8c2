"""Pipeline's tables that are not as its contract has them: sweepd works right with them, or says why it does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog import guest_indexes, pipeline_schema, setup
from daemon.catalog.catalog import Catalog
from daemon.catalog.database import Database
from daemon.catalog.instants import Timeline
from daemon.catalog.selection import Verdict
from daemon.catalog.task_list import Order, SortBy, TaskFilter, TaskList
from daemon.deletion.models import Trigger, What
from daemon.errors import CatalogNotReady, ErrorCode, TaskRefused
from daemon.inventory.overview import overview
from daemon.sweep.explanation import explain
from daemon.sweep.report import SweepOutcome
from support.auditor import DELETED, KEPT, audit_task
from support.judging import policy_set
from support.prepared import Prepared
from support.site import RUNNING, Site, make_catalog, request
from support.stores import Store

TASKS = "data_pipeline_tasks"
STEPS = "data_pipeline_task_steps"
FREE = (
    "DROP VIEW v_data_pipeline_task_steps",
    f"ALTER TABLE {TASKS} DROP CONSTRAINT chk_status",
    f"ALTER TABLE {STEPS} DROP CONSTRAINT chk_step_status",
    f"ALTER TABLE {TASKS} ALTER status DROP DEFAULT",
    f"ALTER TABLE {STEPS} ALTER step_status DROP DEFAULT",
)
ALONE = (f"ALTER TABLE {STEPS} DROP CONSTRAINT data_pipeline_task_steps_task_id_fkey",)
STATUS_ENUM = "CREATE TYPE task_status AS ENUM ('pending', 'in_progress', 'completed', 'failed')"
STEP_ENUM = "CREATE TYPE step_state AS ENUM ('pending', 'completed', 'failed')"


def retyped(column: str, kind: str, *before: str, table: str = TASKS, using: str | None = None) -> tuple[str, ...]:
    change = f"ALTER TABLE {table} ALTER {column} TYPE {kind} USING {using or f'{column}::text::{kind}'}"
    drop = (f"DROP INDEX IF EXISTS {'sweepd_updated_tasks' if table == TASKS else 'sweepd_running_steps'}",)
    return (*FREE, *drop, *before, f"ALTER TABLE {table} ALTER {column} DROP DEFAULT", change)


def partitioned(key: str, by: str, parts: str) -> tuple[str, ...]:
    return (
        *FREE,
        *ALONE,
        f"ALTER TABLE {TASKS} RENAME TO old_tasks",
        f"CREATE TABLE {TASKS} (LIKE old_tasks INCLUDING DEFAULTS, PRIMARY KEY ({key})) PARTITION BY {by}",
        *(f"CREATE TABLE {TASKS}_{n} PARTITION OF {TASKS} {part}" for n, part in enumerate(parts.split("|"))),
        "DROP TABLE old_tasks CASCADE",
    )


BY_HASH = "FOR VALUES WITH (MODULUS 2, REMAINDER 0)|FOR VALUES WITH (MODULUS 2, REMAINDER 1)"
BY_TIME = "FOR VALUES FROM (MINVALUE) TO ('2020-01-01')|DEFAULT"
ALL_ZONED = [
    f"ALTER TABLE {TASKS} ALTER {name} TYPE timestamptz"
    for name in ("created_at", "started_at", "completed_at", "updated_at")
]


@pytest.fixture
def odd(prepared: Prepared) -> Iterator[Store]:
    """A ready database of its own, to be altered."""
    store = prepared.postgresql(timezone="UTC")
    yield store
    prepared.give_back(store)


def alter(store: Store, statements: tuple[str, ...]) -> None:
    for statement in statements:
        store.query(statement)


WORKING = {
    "enum": (
        *retyped("status", "task_status", STATUS_ENUM),
        *retyped("step_status", "step_state", STEP_ENUM, table=STEPS)[len(FREE) :],
    ),
    "char": retyped("status", "char(20)"),
    "domain": retyped("status", "word", "CREATE DOMAIN letters AS varchar(20); CREATE DOMAIN word AS letters"),
    "number-of-user": retyped("by_user", "bigint"),
    "char-of-database": retyped("db_name", "char(12)"),
    "zoned": retyped("completed_at", "timestamptz"),
    "all-zoned": (*FREE, "DROP INDEX sweepd_updated_tasks", *ALL_ZONED),
    "generated": (
        *FREE,
        f"ALTER TABLE {TASKS} DROP COLUMN db_name",
        f"ALTER TABLE {TASKS} ADD db_name text GENERATED ALWAYS AS ('db' || by_user) STORED",
    ),
    "partitioned-by-id": partitioned("task_id", "HASH (task_id)", BY_HASH),
    "partitioned-by-time": partitioned("task_id, created_at", "RANGE (created_at)", BY_TIME),
    "unlogged": (f"ALTER TABLE {STEPS} SET UNLOGGED", f"ALTER TABLE {TASKS} SET UNLOGGED"),
}


@pytest.mark.parametrize("zone", [None, "Asia/Shanghai"])
@pytest.mark.parametrize("kind", WORKING)
def test_all_of_it_is_right_there(odd: Store, tmp_path: Path, kind: str, zone: str | None) -> None:
    alter(odd, WORKING[kind])
    database = Database(odd.url)
    setup.look_at_pipeline(database)
    setup.adopt_pipeline(database)
    guest_indexes.add_indexes(database)
    assert guest_indexes.add_indexes(database) == []
    database.close()
    site = Site(odd, tmp_path / "root")
    site.catalog = site.tools.catalog  # one and the same
    site.catalog.timeline = Timeline(sqlite=False, timezone=zone)
    site.catalog._timezone = zone
    site.init()
    site.catalog.check(thoroughly=True)
    try:
        _live(site)
    finally:
        site.close()


def _live(site: Site) -> None:
    with site.catalog.read() as session:
        kinds = {name: one.kind for name, one in session.tables.found[TASKS].columns.items()}
        now = session.now

    def ago(**span: float) -> dict[str, Any]:
        moment = datetime.now(UTC) - timedelta(**span)
        wall = now.local - timedelta(**span)
        return {
            name: moment if kinds[name] == "timestamptz" else wall
            for name in ("created_at", "started_at", "completed_at")
        }

    user: dict[str, Any] = {"by_user": "17", "db_name": "db17"} if kinds["db_name"] != "text" else {"by_user": "17"}
    before = {
        name: site.task(name, status=status, **user, **ago(**age))
        for name, status, age in (
            ("old_1", "completed", {"days": 30, "minutes": 1}),
            ("old_2", "completed", {"days": 31}),
            ("just", "completed", {"days": 30, "minutes": -1}),
            ("runs", "in_progress", {"days": 40}),
            ("failed", "failed", {"days": 40}),
            ("newest", "completed", {"days": 29}),
        )
    }
    match = {"all": [{"status": "completed"}, {"older_than": "30d"}, {"user": ["17"]}]}
    policies = policy_set(match, keep={"last": 1, "per": ["database", "user", "status"]}, mode="enforce")
    policy = policies.policies[0]
    asked = explain(site.catalog, policies, "old_1")
    assert [one.decision.verdict for one in asked.answers if one.decision] == [Verdict.SELECTED]
    explain(site.catalog, policies, "runs")
    with site.catalog.read() as session:
        for order in SortBy:
            listing = TaskList(session.tables, site.catalog.timeline, session.now, TaskFilter(), Order(order))
            page = listing.page(session.connection, limit=4)
            assert page.total == 6
            assert page.end is not None
            assert len(listing.page(session.connection, limit=4, after=page.end).tasks) == 2
        wanted = TaskFilter(statuses=("failed",), user="17", text="FAIL", older_than=timedelta(days=39))
        found = TaskList(session.tables, site.catalog.timeline, session.now, wanted, Order(SortBy.CREATED))
        (row,) = found.page(session.connection, limit=4).tasks
        assert (row.status, row.by_user) == ("failed", "17")
        assert row.created_at is not None
        assert abs(now.local - timedelta(days=40) - row.created_at) < timedelta(seconds=30)
    report = site.sweeper().sweep(policies, policy, Trigger.SWEEP, "policy:policy", max_stays=None)
    assert report.outcome is SweepOutcome.SUCCESS
    states = {name: audit_task(site.store, site.path, one) for name, one in before.items()}
    assert {name for name, state in states.items() if state == DELETED} == {"old_1", "old_2"}
    site.engine.delete(request("failed", retain=timedelta(days=1)))
    site.restorer.restore_task("failed", "test")
    assert audit_task(site.store, site.path, before["failed"]) == KEPT
    site.engine.delete(request("just", What.DIRECTORY_AND_RECORDS, retain=timedelta(days=1)))
    site.restorer.restore_task("just", "test")
    row_now, row_then = site.store.task("just"), before["just"].row
    assert row_now == row_then
    site.hold("new*")
    overview(site.catalog, 3)
    with site.catalog.read() as session:
        list(pipeline_schema.remarks(session.connection, session.tables.found, RUNNING))


REFUSED = {
    "view": (
        (*FREE, f"ALTER TABLE {TASKS} RENAME TO real_tasks", f"CREATE VIEW {TASKS} AS SELECT * FROM real_tasks"),
        "is a view",
    ),
    "materialized": (
        (*FREE, f"ALTER TABLE {TASKS} RENAME TO r", f"CREATE MATERIALIZED VIEW {TASKS} AS SELECT * FROM r"),
        "is a materialized view",
    ),
    "uuid": (retyped("task_id", "uuid", *ALONE), r"task_id is uuid.*directory's name.*ALTER TABLE"),
    "bigint-id": (retyped("task_id", "bigint", *ALONE), "task_id is bigint"),
    "char-id": (retyped("task_id", "char(32)", *ALONE), r"task_id is character\(32\)"),
    "number-of-status": (retyped("status", "int"), r"status is integer.*compared with names"),
    "date": (retyped("completed_at", "date"), r"completed_at is date.*could be wrong"),
    "text-of-date": (retyped("created_at", "text"), r"created_at is text.*timestamp"),
    "epoch": (retyped("started_at", "bigint"), r"started_at is bigint"),
    "int-of-flag": (
        retyped("directory_exists", "int", using="1"),
        r"directory_exists is integer.*has to be boolean",
    ),
    "generated-flag": (
        (
            *FREE,
            f"ALTER TABLE {TASKS} DROP COLUMN directory_exists",
            f"ALTER TABLE {TASKS} ADD directory_exists bool GENERATED ALWAYS AS (true) STORED",
        ),
        "directory_exists is generated",
    ),
    "no-user": ((*FREE, f"ALTER TABLE {TASKS} DROP COLUMN by_user"), r"lacks the column by_user.*ADD COLUMN by_user"),
    "number-of-step": (retyped("step_status", "int", table=STEPS), r"step_status is integer"),
    "twice": (
        (
            *FREE,
            *ALONE,
            f"ALTER TABLE {TASKS} DROP CONSTRAINT {TASKS}_pkey",
            f"INSERT INTO {TASKS} (task_id, status, parameters) "
            "SELECT 't', 'failed', '{}' FROM generate_series(1, 2)",
        ),
        r"several of one id \(t\)",
    ),
    "no-id": (
        (
            *FREE,
            *ALONE,
            f"ALTER TABLE {TASKS} DROP CONSTRAINT {TASKS}_pkey",
            f"ALTER TABLE {TASKS} ALTER task_id DROP NOT NULL",
            f"INSERT INTO {TASKS} (status, parameters) VALUES ('completed', '{{}}')",
        ),
        r"rows without an id.*NULL",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_right_is_refused_with_the_reason_by_init_and_start(odd: Store, kind: str) -> None:
    statements, reason = REFUSED[kind]
    alter(odd, statements)
    catalog, database = make_catalog(odd), Database(odd.url)
    with pytest.raises(CatalogNotReady, match=reason):
        catalog.check(thoroughly=True)
    with pytest.raises(CatalogNotReady, match=reason):
        setup.look_at_pipeline(database)
    catalog.close()
    database.close()


def test_a_foreign_table_is_refused(odd: Store) -> None:
    alter(odd, (*FREE, f"ALTER TABLE {TASKS} RENAME TO r"))
    odd.query("CREATE FOREIGN DATA WRAPPER nothing")
    odd.query("CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing")
    odd.query(f"CREATE FOREIGN TABLE {TASKS}_far (task_id text) SERVER elsewhere")
    odd.query(f"ALTER FOREIGN TABLE {TASKS}_far RENAME TO {TASKS}")
    catalog = make_catalog(odd)
    with pytest.raises(CatalogNotReady, match="is a foreign table"):
        catalog.check()
    catalog.close()


def test_of_two_rows_of_one_id_none_is_taken_and_the_others_go(odd: Store, tmp_path: Path) -> None:
    alter(odd, WORKING["partitioned-by-time"])
    site = Site(odd, tmp_path / "root")
    site.init()
    old = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=40)
    before = [site.task(name, created_at=old, completed_at=old) for name in ("one", "two")]
    odd.add_task("one", status="in_progress", created_at=old + timedelta(days=1))
    policies = policy_set({"older_than": "30d"}, mode="enforce")
    with pytest.raises(TaskRefused, match="several rows have the id one"):
        explain(site.catalog, policies, "one")
    with pytest.raises(TaskRefused) as caught:
        site.engine.delete(request("one"))
    assert caught.value.code is ErrorCode.TASK_CHANGED
    site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "policy:policy", max_stays=None)
    site.close()
    assert (site.path / "one").is_dir()
    assert audit_task(odd, site.path, before[1]) == DELETED


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
def test_a_trigger_that_undoes_what_was_written_is_noticed(odd: Store, tmp_path: Path, when: str) -> None:
    body = {
        "BEFORE": "NEW.directory_exists := true; RETURN NEW;",
        "AFTER": f"IF NOT NEW.directory_exists THEN UPDATE {TASKS} SET directory_exists = true "
        "WHERE task_id = NEW.task_id; END IF; RETURN NULL;",
    }[when]
    odd.query(f"CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    odd.query(f"CREATE TRIGGER undoing {when} UPDATE ON {TASKS} FOR EACH ROW EXECUTE FUNCTION undo()")
    site = Site(odd, tmp_path / "root")
    site.init()
    before = site.task("task_1")
    with pytest.raises(TaskRefused, match="keeps it as it is"):
        site.engine.delete(request("task_1"))
    site.close()
    assert audit_task(odd, site.path, before) == KEPT


def test_remarks_say_what_could_be_better(odd: Store) -> None:
    alter(odd, WORKING["partitioned-by-time"])
    odd.query(f"ALTER TABLE {TASKS} ALTER directory_exists SET DEFAULT false")
    catalog = make_catalog(odd)
    with catalog.read() as session:
        said = [said for said, _ in pipeline_schema.remarks(session.connection, session.tables.found, RUNNING)]
    catalog.close()
    assert [part for part in ("two rows", "partitioned", "false in new rows") if part in "; ".join(said)] == [
        "two rows",
        "partitioned",
        "false in new rows",
    ]


SQLITE = (
    "CREATE TABLE data_pipeline_tasks (task_id {task_id}, status {status}, created_at {created_at}, started_at "
    "TIMESTAMP, completed_at TIMESTAMP, by_user TEXT, db_name TEXT, directory_exists {directory_exists}, "
    "updated_at TIMESTAMP)"
)
RIGHT = {
    "task_id": "TEXT PRIMARY KEY NOT NULL",
    "status": "TEXT",
    "created_at": "DATETIME",
    "directory_exists": "BOOLEAN",
}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({}, None),
        ({"task_id": "INTEGER PRIMARY KEY"}, "task_id is INTEGER"),
        ({"task_id": "TEXT COLLATE NOCASE PRIMARY KEY"}, "different letters for the same"),
        ({"created_at": "INTEGER"}, "created_at is INTEGER"),
        ({"created_at": "REAL"}, "created_at is REAL"),
        ({"status": "INTEGER"}, "status is INTEGER"),
        ({"directory_exists": "TEXT"}, "directory_exists is TEXT"),
        ({"directory_exists": "BOOLEAN GENERATED ALWAYS AS (1) STORED"}, "is generated"),
    ],
)
def test_on_sqlite_the_declared_types_count(tmp_path: Path, wrong: dict[str, Any], reason: str | None) -> None:
    (tmp_path / "c.sqlite").touch()
    store = Store(f"sqlite:///{tmp_path}/c.sqlite")
    store.query(SQLITE.format(**{**RIGHT, **wrong}))
    database = Database(store.url)
    if reason is None:
        setup.look_at_pipeline(database)
    else:
        with pytest.raises(CatalogNotReady, match=reason):
            setup.look_at_pipeline(database)
    database.close()


def test_on_sqlite_a_view_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").touch()
    store = Store(f"sqlite:///{tmp_path}/c.sqlite")
    store.query("CREATE TABLE other (task_id TEXT)")
    store.query("CREATE VIEW data_pipeline_tasks AS SELECT * FROM other")
    database = Database(store.url)
    with pytest.raises(CatalogNotReady, match="is a view"):
        setup.look_at_pipeline(database)
    database.close()


def test_who_knows_no_tables_yet_asks_for_them_only_once(odd: Store) -> None:
    catalog = Catalog(odd.url, timezone=None, running_statuses=RUNNING)
    with catalog.read() as session:
        assert session.tables.found[TASKS].unique_ids
    catalog.close()
