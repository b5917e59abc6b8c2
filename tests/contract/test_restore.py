"""The undo: directory and rows are what they were, or nothing has changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.deletion.models import Trigger, What
from daemon.errors import ErrorCode, SweepdError, TaskRefused
from daemon.storage import retained
from daemon.sweep.explanation import explain
from daemon.sweep.plan import make_plan
from support.auditor import KEPT, RETAINED, audit, audit_task
from support.judging import policy_set
from support.site import Site, request
from support.stores import Row
from support.trees import fill

WEEK = timedelta(days=7)
WHATS = [What.DIRECTORY, What.DIRECTORY_AND_RECORDS]


def exactly(path: Path) -> dict[str, tuple[object, ...]]:
    """Everything below: kind and mode, owner, times to the nanosecond, links and contents."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for folder, folders, files in os.walk(path):
        for name in [".", *folders, *files]:
            place = os.path.join(folder, name)
            status = os.lstat(place)
            content: object = None
            if os.path.islink(place):
                content = os.readlink(place)
            elif os.path.isfile(place):
                content = Path(place).read_bytes()
            twin = inodes.setdefault(status.st_ino, os.path.relpath(place, path)) if status.st_nlink > 1 else None
            linked = None if os.path.isdir(place) else (status.st_nlink, twin)
            found[os.path.relpath(place, path)] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                linked,
                content,
            )
    return found


def rich_task(site: Site, task_id: str, **columns: Any) -> Path:
    """A task whose directory has modes, times, symlinks, hard links and a FIFO."""
    site.task(task_id, files=6, created_at="2025-07-02 17:39:32", **columns)
    path = site.path / task_id
    (path / "part-1" / "file-1.json").chmod(0o640)
    (path / "part-1").chmod(0o750)
    os.symlink("../elsewhere", path / "link")
    os.link(path / "file-0.json", path / "part-1" / "twin")
    os.mkfifo(path / "fifo")
    os.utime(path / "file-2.json", ns=(1_700_000_000_123_456_789, 1_600_000_000_987_654_321))
    os.utime(path / "part-1", ns=(1_700_000_000_000_000_001, 1_600_000_000_000_000_001))
    return path


def rows(site: Site) -> tuple[list[Row], list[Row]]:
    tasks = site.store.query("SELECT * FROM data_pipeline_tasks ORDER BY task_id")
    return tasks, site.store.query("SELECT * FROM data_pipeline_task_steps ORDER BY id")


def refused(site: Site, deletion_id: str) -> SweepdError:
    with pytest.raises(SweepdError) as caught:
        site.restorer.restore(deletion_id, "test")
    return caught.value


def retain(site: Site, task_id: str, what: What = What.DIRECTORY, **options: Any) -> str:
    outcome = site.engine.delete(request(task_id, what, retain=WEEK, **options))
    assert outcome.retained_until is not None
    assert outcome.deletion_id is not None
    return outcome.deletion_id


@pytest.mark.parametrize("what", WHATS)
def test_what_comes_back_is_exactly_what_went(site: Site, what: What) -> None:
    path = rich_task(site, "task_1", updated_at="2025-08-01 00:00:00")
    before, tables = exactly(path), rows(site)
    deletion_id = retain(site, "task_1", what)
    assert not path.exists()
    done = site.restorer.restore(deletion_id, "test")
    assert (done.directory, done.records) == (True, what.records)
    assert exactly(path) == before
    assert rows(site) == tables
    (entry,) = site.store.ledger("task_1")
    assert (entry["state"], entry["restored_by"]) == ("restored", "test")
    assert site.store.query("SELECT * FROM sweepd_snapshots") == []
    assert site.metric("sweepd_restores_total", outcome="success") == 1


@pytest.mark.costly
def test_fifty_tasks_come_back_without_a_difference(site: Site, tmp_path: Path) -> None:
    names = [f"task_{number:02}" for number in range(50)]
    for name in names:
        rich_task(site, name)
    shutil.copytree(site.path, tmp_path / "copy", symlinks=True, ignore=shutil.ignore_patterns(".sweepd", "fifo"))
    before, tables = {name: exactly(site.path / name) for name in names}, rows(site)
    requests = [
        request(name, WHATS[number % 2], retain=WEEK, force=number % 3 == 0) for number, name in enumerate(names)
    ]
    assert not any(isinstance(result, Exception) for result in site.engine.delete_group(requests))
    assert sorted(os.listdir(site.path)) == [".sweepd"]
    assert len(list(site.retained.iterdir())) == 50
    for name in names:
        site.restorer.restore_task(name, "test")
    assert {name: exactly(site.path / name) for name in names} == before
    assert rows(site) == tables
    for copied in (tmp_path / "copy").rglob("*"):
        if copied.is_file() and not copied.is_symlink():
            assert copied.read_bytes() == (site.path / copied.relative_to(tmp_path / "copy")).read_bytes()
    assert site.entries() == []
    assert list(site.retained.iterdir()) == []


POSTGRESQL_COLUMNS = """
ALTER TABLE data_pipeline_tasks ADD extra jsonb, ADD amount numeric(30, 12), ADD raw bytea, ADD list text[],
ADD moment timestamptz, ADD ratio double precision, ADD "Odd Name" text,
ADD doubled integer GENERATED ALWAYS AS (length(task_id) * 2) STORED;
UPDATE data_pipeline_tasks SET extra = '{"b": [1, 2.50, null], "a": "\\u00e9\\n"}', raw = '\\x00ff10',
amount = 12345678901234567.000000000001, list = ARRAY['a', NULL, 'b,"c"'], ratio = 0.1::float8 + 0.2,
moment = '2025-01-01 00:00:00.123456+03',
"Odd Name" = 'x', result = '{"k": 1}'
"""


def test_every_kind_of_column_comes_back(postgres_site: Site) -> None:
    site = postgres_site
    rich_task(site, "task_1")
    site.store.query(POSTGRESQL_COLUMNS)
    try:
        site.catalog.check()
        before = rows(site)
        deletion_id = retain(site, "task_1", What.DIRECTORY_AND_RECORDS)
        assert rows(site) == ([], [])
        site.restorer.restore(deletion_id, "test")
        assert rows(site) == before
        assert before[0][0]["doubled"] == 12
    finally:
        names = ("extra", "amount", "raw", "list", "moment", "ratio", '"Odd Name"', "doubled")
        site.store.query(f"ALTER TABLE data_pipeline_tasks {', '.join(f'DROP {name}' for name in names)}")


def test_whatever_sqlite_holds_comes_back(site: Site) -> None:
    if not site.store.sqlite:
        return
    site.task("task_1", created_at="2025-07-02T17:39:32Z", by_user=b"\x00\xff", db_name=3.25)
    before = rows(site)
    deletion_id = retain(site, "task_1", What.DIRECTORY_AND_RECORDS, force=True)
    site.restorer.restore(deletion_id, "test")
    assert rows(site) == before


def test_a_row_touched_since_only_gets_its_directory_back(site: Site) -> None:
    before = site.task("task_1", updated_at="2025-08-01 00:00:00")
    deletion_id = retain(site, "task_1")
    site.store.query("UPDATE data_pipeline_tasks SET by_user = 'bob', updated_at = '2031-01-01 00:00:00'")
    site.restorer.restore(deletion_id, "test")
    row = site.store.task("task_1")
    assert row is not None
    assert before.row is not None
    assert (row["by_user"], row["directory_exists"]) == ("bob", before.row["directory_exists"])
    assert str(row["updated_at"]) not in ("2025-08-01 00:00:00", "2031-01-01 00:00:00")


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("taken", ["directory", "file", "link"])
def test_a_name_that_is_taken_is_a_conflict_and_nothing_changes(
    site: Site, tmp_path: Path, what: What, taken: str
) -> None:
    before = site.task("task_1")
    deletion_id = retain(site, "task_1", what)
    path = site.path / "task_1"
    if taken == "directory":
        path.mkdir()
    elif taken == "file":
        path.write_text("x")
    else:
        path.symlink_to(tmp_path)
    tables, inode = rows(site), path.lstat().st_ino
    error = refused(site, deletion_id)
    assert error.code is ErrorCode.RESTORE_CONFLICT
    assert "its name in the storage root is taken" in str(error)
    assert (rows(site), path.lstat().st_ino, site.entries()) == (tables, inode, [])
    if taken == "directory":
        path.rmdir()
    else:
        path.unlink()
    assert audit_task(site.store, site.path, before) == RETAINED
    site.restorer.restore(deletion_id, "test")
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_a_task_of_that_id_that_exists_again_is_a_conflict(site: Site) -> None:
    site.task("task_1")
    deletion_id = retain(site, "task_1", What.DIRECTORY_AND_RECORDS)
    site.store.add_task("task_1", status="pending")
    tables = rows(site)
    assert refused(site, deletion_id).code is ErrorCode.RESTORE_CONFLICT
    assert rows(site) == tables
    assert (site.retained / deletion_id).is_dir()


def test_records_deleted_since_have_to_come_back_first_and_restoring_the_task_does_both(site: Site) -> None:
    before = site.task("task_1")
    first = retain(site, "task_1")
    second = site.engine.delete(request("task_1", What.RECORDS, retain=WEEK))
    assert site.store.task("task_1") is None
    assert refused(site, first).code is ErrorCode.RESTORE_CONFLICT
    done = site.restorer.restore_task("task_1", "test")
    assert [(one.deletion_id, one.directory, one.records) for one in done] == [
        (second.deletion_id, False, True),
        (first, True, False),
    ]
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}


def test_of_a_task_whose_name_is_taken_not_even_the_records_come_back(site: Site) -> None:
    site.task("task_1")
    retain(site, "task_1")
    site.engine.delete(request("task_1", What.RECORDS, retain=WEEK))
    (site.path / "task_1").mkdir()
    tables = rows(site)
    with pytest.raises(TaskRefused, match="is taken; nothing was changed") as caught:
        site.restorer.restore_task("task_1", "test")
    assert caught.value.code is ErrorCode.RESTORE_CONFLICT
    assert rows(site) == tables
    with pytest.raises(TaskRefused):
        site.restorer.restore_task("task_2", "test")
    assert site.metric("sweepd_restores_total", outcome="refused") == 2


def test_records_stay_while_a_directory_waits_that_could_not_come_back_without_them(site: Site) -> None:
    before = site.task("task_1")
    deletion_id = retain(site, "task_1")
    for what in (What.RECORDS, What.DIRECTORY_AND_RECORDS):
        for retention in (None, timedelta(days=1)):
            with pytest.raises(TaskRefused, match=r"waits in the trash until .* restore or purge it first") as caught:
                site.engine.delete(request("task_1", what, retain=retention, force=True))
            assert caught.value.code is ErrorCode.TASK_CHANGED
    site.restorer.restore(deletion_id, "test")
    assert audit(site.store, site.path, [before]) == {"task_1": KEPT}
    site.retention.purge([retain(site, "task_1")])
    assert site.engine.delete(request("task_1", What.RECORDS)).records_deleted


def test_a_policy_over_records_leaves_those_alone_whose_directory_waits(site: Site) -> None:
    site.task("task_1")
    site.task("task_2")
    deletion_id = retain(site, "task_1")
    site.engine.delete(request("task_2"))
    policies = policy_set({"directory": "missing"}, mode="enforce", delete="records")
    (answer,) = explain(site.catalog, policies, "task_1").answers
    assert str(answer.not_looked_at).startswith("its directory is in the trash still")
    report = site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
    assert (report.plan.considered, [one.task_id for one in report.deleted]) == (1, ["task_2"])
    site.retention.purge([deletion_id])
    report = site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test")
    assert [one.task_id for one in report.deleted] == ["task_1"]


def test_a_directory_that_is_retained_after_the_plan_keeps_its_records(site: Site) -> None:
    site.task("task_1")
    site.engine.delete(request("task_1"))
    policies = policy_set({"directory": "missing"}, mode="enforce", delete="records")
    plan = make_plan(site.catalog, policies, policies.policies[0])
    site.directory("task_1")
    row = site.store.task("task_1")
    assert row is not None
    site.store.query("UPDATE data_pipeline_tasks SET directory_exists = NULL")
    retain(site, "task_1")
    site.store.query("UPDATE data_pipeline_tasks SET updated_at = ?", [row["updated_at"]])
    report = site.sweeper().sweep(policies, policies.policies[0], Trigger.SWEEP, "test", plan=plan)
    assert (report.deleted, [one.code for one in report.dropped]) == ([], [ErrorCode.TASK_CHANGED])


def test_an_orphan_comes_back_without_a_row(site: Site) -> None:
    before = site.directory("manual_1")
    deletion_id = retain(site, "manual_1", force=True)
    site.store.add_task("manual_1", status="pending")
    assert refused(site, deletion_id).code is ErrorCode.RESTORE_CONFLICT
    site.store.query("DELETE FROM data_pipeline_tasks")
    site.restorer.restore(deletion_id, "test")
    assert audit(site.store, site.path, [before]) == {"manual_1": KEPT}


def test_only_what_waits_can_be_restored(site: Site) -> None:
    site.task("task_1")
    site.task("task_2")
    assert refused(site, "f" * 28).code is ErrorCode.DELETION_NOT_FOUND
    gone = site.engine.delete(request("task_2")).deletion_id
    assert gone is not None
    assert "is purged since" in str(refused(site, gone))
    deletion_id = retain(site, "task_1")
    site.restorer.restore(deletion_id, "test")
    assert refused(site, deletion_id).code is ErrorCode.NOT_RESTORABLE
    for task_id in ("task_1", "task_2", "task_3"):
        with pytest.raises(TaskRefused, match="no deletion of"):
            site.restorer.restore_task(task_id, "test")


def test_rows_of_other_tables_that_could_not_come_back_are_not_deleted(postgres_site: Site) -> None:
    site = postgres_site
    before = [site.task("task_1"), site.task("task_2")]
    site.store.query(
        "CREATE TABLE notes (task_id varchar(32) REFERENCES data_pipeline_tasks ON DELETE CASCADE, t text);"
        "INSERT INTO notes VALUES ('task_1', 'precious')"
    )
    try:
        with pytest.raises(TaskRefused, match="notes") as caught:
            site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS, retain=WEEK))
        assert caught.value.code is ErrorCode.RECORDS_IN_USE
        retain(site, "task_2")  # its row stays
        assert site.store.query("SELECT t FROM notes") == [{"t": "precious"}]
        assert audit_task(site.store, site.path, before[0]) == KEPT
    finally:
        site.store.query("DROP TABLE notes")


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
@pytest.mark.parametrize("retention", [None, WEEK], ids=["at once", "retained"])
def test_rows_of_other_tasks_do_not_go_with_a_tasks_records(
    site: Site, action: str, retention: timedelta | None
) -> None:
    key = f"parent_id VARCHAR(32) REFERENCES data_pipeline_tasks (task_id) ON DELETE {action}"
    site.store.query(f"ALTER TABLE data_pipeline_tasks ADD COLUMN {key}")
    try:
        parent = site.task("parent")
        child = site.task("child", parent_id="parent", status="in_progress")
        other = site.task("other")
        requests = [request(name, What.DIRECTORY_AND_RECORDS, retain=retention) for name in ("other", "parent")]
        results = site.engine.delete_group(requests)
        assert [getattr(result, "code", None) for result in results] == [None, ErrorCode.RECORDS_IN_USE]
        assert "rows of other tasks (child)" in str(results[1])
        fates = [audit_task(site.store, site.path, task) for task in (parent, child, other)]
        assert fates == [KEPT, KEPT, RETAINED if retention else "deleted"]
        requests = [
            request(name, What.DIRECTORY_AND_RECORDS, retain=retention, force=True) for name in ("parent", "child")
        ]
        assert not any(isinstance(result, SweepdError) for result in site.engine.delete_group(requests))
        if retention:
            for name in ("parent", "child"):
                site.restorer.restore_task(name, "test")
            assert [audit_task(site.store, site.path, task) for task in (parent, child)] == [KEPT, KEPT]
    finally:
        if not site.store.sqlite:
            site.store.query("ALTER TABLE data_pipeline_tasks DROP COLUMN parent_id")


def test_steps_of_another_task_do_not_go_either(postgres_site: Site) -> None:
    site = postgres_site
    key = "after_id integer REFERENCES data_pipeline_task_steps ON DELETE CASCADE"
    site.store.query(f"ALTER TABLE data_pipeline_task_steps ADD COLUMN {key}")
    try:
        before = [site.task("task_1"), site.task("task_2"), site.task("task_3")]
        steps = {name: site.store.steps(name) for name in ("task_1", "task_2", "task_3")}
        after = "UPDATE data_pipeline_task_steps SET after_id = ? WHERE id = ?"
        site.store.query(after, [steps["task_1"][0]["id"], steps["task_2"][0]["id"]])
        site.store.query(after, [steps["task_3"][0]["id"], steps["task_3"][1]["id"]])
        before = [site.before(task.task_id) for task in before]
        with pytest.raises(TaskRefused, match=r"rows of other tasks \(task_2\)") as caught:
            site.engine.delete(request("task_1", What.DIRECTORY_AND_RECORDS))
        assert caught.value.code is ErrorCode.RECORDS_IN_USE
        site.restorer.restore(retain(site, "task_3", What.DIRECTORY_AND_RECORDS), "test")
        assert [audit_task(site.store, site.path, task) for task in before] == [KEPT] * 3
    finally:
        site.store.query("ALTER TABLE data_pipeline_task_steps DROP COLUMN after_id")


def test_a_reference_that_forbids_it_spoils_one_task_of_a_group_only(postgres_site: Site) -> None:
    site = postgres_site
    before = [site.task(f"task_{number}") for number in range(3)]
    site.store.query(
        "CREATE TABLE notes (task_id varchar(32) REFERENCES data_pipeline_tasks); INSERT INTO notes VALUES ('task_1')"
    )
    try:
        requests = [request(f"task_{number}", What.DIRECTORY_AND_RECORDS) for number in range(3)]
        codes = [getattr(result, "code", None) for result in site.engine.delete_group(requests)]
        assert codes == [None, ErrorCode.RECORDS_IN_USE, None]
        fates = [audit_task(site.store, site.path, task) for task in before]
        assert fates == ["deleted", "kept", "deleted"]
    finally:
        site.store.query("DROP TABLE notes")


@contextlib.contextmanager
def triggered(site: Site, when: str, table: str, *, only: str = "", body: str = "") -> Iterator[None]:
    """A trigger; without a ``body``, which both databases understand, it has the row passed over."""
    on = f"CREATE TRIGGER soft {when} ON {table} FOR EACH ROW {only}"
    if site.store.sqlite:
        site.store.query(f"{on} BEGIN {body or 'SELECT RAISE(IGNORE)'}; END")
    else:
        plain = f"BEGIN {f'{body};' if body else ''} RETURN NULL; END"
        site.store.query(f"CREATE FUNCTION soft() RETURNS trigger AS '{plain}' LANGUAGE plpgsql")
        site.store.query(f"{on} EXECUTE FUNCTION soft()")
    try:
        yield
    finally:
        site.store.query("DROP TRIGGER soft" if site.store.sqlite else f"DROP TRIGGER soft ON {table}")
        if not site.store.sqlite:
            site.store.query("DROP FUNCTION soft()")


@pytest.mark.parametrize("retention", [None, WEEK], ids=["at once", "retained"])
@pytest.mark.parametrize(
    ("event", "what", "code"),
    [
        ("DELETE", What.DIRECTORY_AND_RECORDS, ErrorCode.RECORDS_IN_USE),
        ("UPDATE", What.DIRECTORY, ErrorCode.DELETION_FAILED),
    ],
)
def test_a_row_that_the_database_keeps_as_it_is_keeps_its_directory(
    site: Site, event: str, what: What, code: ErrorCode, retention: timedelta | None
) -> None:
    before = [site.task("task_1"), site.task("task_2")]
    with triggered(site, f"BEFORE {event}", "data_pipeline_tasks", only="WHEN (OLD.task_id = 'task_1')"):
        results = site.engine.delete_group([request(task.task_id, what, retain=retention) for task in before])
        assert [getattr(result, "code", None) for result in results] == [code, None]
        assert "task_1" in str(results[0])
        fates = [audit_task(site.store, site.path, task) for task in before]
        assert fates == [KEPT, RETAINED if retention else "deleted"]


@pytest.mark.parametrize(
    ("event", "table", "what"),
    [
        ("UPDATE", "data_pipeline_tasks", What.DIRECTORY),
        ("INSERT", "data_pipeline_tasks", What.DIRECTORY_AND_RECORDS),
        ("INSERT", "data_pipeline_task_steps", What.DIRECTORY_AND_RECORDS),
    ],
)
def test_a_row_that_the_database_does_not_let_back_keeps_its_directory_in_the_trash(
    site: Site, event: str, table: str, what: What
) -> None:
    before = site.task("task_1")
    deletion_id = retain(site, "task_1", what)
    with triggered(site, f"BEFORE {event}", table):
        with pytest.raises(TaskRefused, match=r"trigger|referenced|foreign key|FOREIGN KEY") as caught:
            site.restorer.restore(deletion_id, "test")
        assert caught.value.code is ErrorCode.RESTORE_CONFLICT
        assert audit_task(site.store, site.path, before) == RETAINED
    site.restorer.restore(deletion_id, "test")
    assert audit_task(site.store, site.path, before) == KEPT


@pytest.mark.parametrize("says", [False, None])
def test_a_row_that_was_wrong_about_its_directory_is_what_it_was(site: Site, says: bool | None) -> None:
    before = site.task("task_1", directory_exists=says)
    site.restorer.restore(retain(site, "task_1"), "test")
    assert audit_task(site.store, site.path, before) == KEPT


def test_a_row_that_is_taken_away_at_once_has_not_come_back(site: Site) -> None:
    before = site.task("task_1", steps=0)
    deletion_id = retain(site, "task_1", What.DIRECTORY_AND_RECORDS)
    away = "DELETE FROM data_pipeline_tasks WHERE task_id = NEW.task_id"
    with triggered(site, "AFTER INSERT", "data_pipeline_tasks", body=away):
        with pytest.raises(TaskRefused, match="trigger"):
            site.restorer.restore(deletion_id, "test")
        assert audit_task(site.store, site.path, before) == RETAINED


def test_rows_that_a_trigger_puts_into_another_table_come_back(postgres_site: Site) -> None:
    """As partitions were made before PostgreSQL had them: a child table has the rows."""
    site = postgres_site
    before = site.task("task_1", steps=0)
    deletion_id = retain(site, "task_1", What.DIRECTORY_AND_RECORDS)
    site.store.query("CREATE TABLE part () INHERITS (data_pipeline_tasks)")
    with triggered(site, "BEFORE INSERT", "data_pipeline_tasks", body="INSERT INTO part SELECT NEW.*"):
        site.restorer.restore(deletion_id, "test")
        assert audit_task(site.store, site.path, before) == KEPT
    site.store.query("DROP TABLE part")


def test_a_restore_and_a_purge_at_once_have_one_winner(site: Site) -> None:
    before = [site.task(f"task_{number}") for number in range(12)]
    ids = [retain(site, task.task_id, What.DIRECTORY_AND_RECORDS) for task in before]
    said: list[str] = []

    def restore() -> None:
        for deletion_id in ids:
            try:
                site.restorer.restore(deletion_id, "test")
                said.append("restored")
            except SweepdError as error:
                said.append(str(error.code))

    def purge() -> None:
        for deletion_id in reversed(ids):
            with contextlib.suppress(SweepdError):
                site.retention.purge([deletion_id])

    threads = [threading.Thread(target=restore), threading.Thread(target=purge)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.recovery.run()
    fates = [audit_task(site.store, site.path, task) for task in before]
    assert set(fates) <= {"kept", "deleted", "retained"}
    assert fates.count("kept") == said.count("restored")
    assert set(said) <= {"restored", "NOT_RESTORABLE", "TASK_BUSY"}


def test_a_purge_that_takes_the_directory_under_a_restore_is_a_task_that_is_busy(
    postgres_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite the purge waits for the restore, since transactions that write take turns."""
    site = postgres_site
    before = site.task("task_1")
    deletion_id = retain(site, "task_1", What.DIRECTORY_AND_RECORDS)
    purge = threading.Thread(target=site.retention.purge, args=([deletion_id],))
    bring_back = retained.bring_back

    def after_the_purge_took_it(*args: Any) -> None:
        purge.start()  # it waits for the journal, which the restore has locked
        while purge.is_alive() and (site.retained / deletion_id).exists():
            time.sleep(0.001)
        bring_back(*args)

    monkeypatch.setattr(retained, "bring_back", after_the_purge_took_it)
    refusal = refused(site, deletion_id)
    purge.join()
    assert refusal.code is ErrorCode.TASK_BUSY
    assert audit_task(site.store, site.path, before) == "deleted"


def made_anew(site: Site, task_id: str, files: int) -> None:
    site.store.query("UPDATE data_pipeline_tasks SET directory_exists = NULL, updated_at = NULL")
    fill(site.path / task_id, files)


def test_however_often_a_task_was_deleted_since_the_one_that_waits_comes_back(site: Site) -> None:
    site.task("task_1")
    first = retain(site, "task_1")
    for _ in range(11):
        made_anew(site, "task_1", 1)
        site.engine.delete(request("task_1"))
    assert [one.deletion_id for one in site.restorer.restore_task("task_1", "test")] == [first]


def test_the_latest_comes_back_though_a_clock_was_ahead(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.task("task_1")
    with monkeypatch.context() as patch:
        patch.setattr("daemon.storage.trash.clock.unix_ms", lambda: 1 << 47)
        retain(site, "task_1")
    made_anew(site, "task_1", 7)
    second = retain(site, "task_1")
    assert [one.deletion_id for one in site.restorer.restore_task("task_1", "test")] == [second]


def test_a_task_made_anew_can_be_retained_beside_its_older_self(site: Site) -> None:
    site.task("task_1")
    first = retain(site, "task_1")
    made_anew(site, "task_1", 7)
    second = retain(site, "task_1")
    assert {path.name for path in site.retained.iterdir()} == {first, second}
    assert [one.deletion_id for one in site.restorer.restore_task("task_1", "test")] == [second]
    assert refused(site, first).code is ErrorCode.RESTORE_CONFLICT
