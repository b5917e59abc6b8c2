"""The real process: policies on schedule, API, signals, crashes."""

from __future__ import annotations

import contextlib
import fcntl
import statistics
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests

from support.daemons import TASKS, Daemon, Installation
from support.postgres import connect
from support.stores import Store
from support.trees import fill

SWEEP = """
version: 1
policies:
  - name: old
    mode: enforce
    schedule: {{every: {every}}}
    {extra}
    match: {{all: [{{status: completed}}, {{older_than: {age}}}]}}
    action: {{delete: directory}}
"""


def sweeping(every: str = "1s", age: str = "1h", extra: str = "") -> str:
    return SWEEP.format(every=every, age=age, extra=extra)


def add(installation: Installation, task_id: str, *, files: int = 3, **columns: object) -> Path:
    Store(installation.url).add_task(task_id, **{"status": "completed", **columns})
    directory = installation.root / task_id
    fill(directory, files)
    return directory


def test_a_sweep_runs_on_schedule_and_keeps_what_is_young(installation: Installation, store: Store) -> None:
    long_ago = datetime(2025, 1, 1)
    old = add(installation, "task_old", completed_at=long_ago)
    young = add(installation, "task_young", completed_at=datetime.now() + timedelta(days=1))
    running = add(installation, "task_running", status="in_progress", completed_at=long_ago)
    installation.write_policies(sweeping())
    with installation.daemon(cold=True) as daemon:
        event = daemon.wait_for_event("sweep_finished", policy="old")
        metrics = daemon.get("/metrics").text
    assert event["outcome"] == "success"
    assert (event["considered"], event["selected"], event["deleted"]) == (3, 1, 1)
    assert (old.exists(), young.exists(), running.exists()) == (False, True, True)
    row = store.task("task_old")
    assert row is not None
    assert not row["directory_exists"]
    deletion = daemon.events("deletion_finished")[0]
    assert deletion["task_ids"] == ["task_old"]
    assert deletion["initiator"] == "policy:old"
    assert (deletion["files"], deletion["outcome"], deletion["error"]) == (3, "success", None)
    assert 'sweepd_sweeps_total{outcome="success",policy="old"}' in metrics
    assert 'sweepd_deletions_total{outcome="success",trigger="sweep"} 1.0' in metrics


def test_ages_are_the_databases_own_whatever_the_daemons_zone(shanghai_url: str, tmp_path: Path) -> None:
    installation = Installation(tmp_path / "site", shanghai_url, sweeping())
    installation.run("init")
    with connect(shanghai_url) as connection, connection.cursor() as cursor:
        for task_id, minutes in (("task_61", 61), ("task_59", 59)):
            fill(installation.root / task_id, 1)
            cursor.execute(
                "INSERT INTO data_pipeline_tasks (task_id, status, parameters, completed_at)"
                " VALUES (%s, 'completed', '{}', LOCALTIMESTAMP - make_interval(mins => %s))",
                [task_id, minutes],
            )
        cursor.execute("SELECT current_setting('TimeZone')")
        assert cursor.fetchone() == ("Asia/Shanghai",)
    with installation.daemon() as daemon:
        daemon.wait_for_event("sweep_finished", policy="old", outcome="success")
    assert not (installation.root / "task_61").exists()
    assert (installation.root / "task_59").exists()


def test_kill_9_in_the_middle_of_a_large_deletion_leaves_it_gone_or_whole_after_the_next_start(
    installation: Installation, store: Store
) -> None:
    """Its worker processes end with it, and let go of what they were at."""
    files = 6_000
    directory = add(installation, "task_large", files=files)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    trash = installation.root / ".sweepd" / "trash"
    slowly = installation.config.read_text(encoding="utf-8") + "workers: {max_files_per_second: 2000}\n"
    installation.config.write_text(slowly, encoding="utf-8")
    with installation.daemon() as daemon:
        asked = threading.Thread(target=_ask, args=(daemon, "task_large"))
        asked.start()
        _until(lambda: _left(trash) < files - 300)
        [purge] = daemon.get("/api/v0/data_pipeline/purges").json()["data"]["purges"]
        daemon.kill()
        asked.join()
    assert (purge["task_ids"], purge["files_total"]) == (["task_large"], files)
    assert 0 < purge["files_done"] < files
    assert 0 < _left(trash) < files, "the kill has to fall into the purge for this test to mean anything"
    with installation.daemon() as daemon:
        daemon.wait_for_event("deletion_recovered", outcome="finished")
        again = daemon.delete("task_large")
    assert not directory.exists()
    assert list(trash.iterdir()) == []
    assert again.json()["data"]["directory_deleted"] is False
    row = store.task("task_large")
    assert row is not None
    assert not row["directory_exists"]
    [entry] = store.ledger("task_large")
    assert (entry["state"], entry["files"], entry["size_bytes"]) == ("purged", files, size)


def test_liveness_answers_while_a_large_deletion_runs(postgres_installation: Installation) -> None:
    directory = add(postgres_installation, "task_large", files=10_000)
    with postgres_installation.daemon() as daemon:
        answers: list[float] = []
        asked = threading.Thread(target=_ask, args=(daemon, "task_large"))
        asked.start()
        _until(lambda: not directory.exists())
        with requests.Session() as session:
            while asked.is_alive() or len(answers) < 200:
                start = time.perf_counter()
                assert session.get(f"{daemon.address}/livez", timeout=10).status_code == 200
                answers.append(time.perf_counter() - start)
                time.sleep(0.002)  # the daemon needs the processor for the deletion
        asked.join()
    assert len(answers) >= 200
    assert statistics.quantiles(answers, n=100)[98] < 0.5, "far above the target on purpose: a test is not a benchmark"


def test_sigterm_finishes_the_deletion_in_hand(installation: Installation, store: Store) -> None:
    directory = add(installation, "task_large", files=5_000)
    with installation.daemon() as daemon:
        answers: list[requests.Response] = []
        asked = threading.Thread(target=lambda: answers.append(daemon.delete("task_large")))
        asked.start()
        _until(lambda: not directory.exists())
        status = daemon.terminate()
        asked.join()
    assert status == 0
    assert answers[0].json()["data"]["deleted_files_count"] == 5_000
    assert list((installation.root / ".sweepd" / "trash").iterdir()) == []
    assert [entry["state"] for entry in store.ledger("task_large")] == ["purged"]


def test_a_second_daemon_on_the_same_root_refuses_and_the_command_line_works_beside_the_first(
    installation: Installation,
) -> None:
    directory = add(installation, "task_a")
    with installation.daemon():
        second = installation.run("run", check=False)
        deleted = installation.run("delete", "--yes", "task_a")
    assert second.returncode == 8
    assert "another sweepd serves the storage root" in second.stderr
    assert "deleted 3 files" in deleted.stdout
    assert not directory.exists()


@pytest.mark.parametrize(("catch_up", "runs"), [("catch_up: true", 1), ("", 0)])
def test_a_run_missed_while_down_happens_once_at_start_if_asked(
    installation: Installation, store: Store, catch_up: str, runs: int
) -> None:
    directory = add(installation, "task_old", completed_at=datetime(2025, 1, 1))
    installation.write_policies(sweeping(every="6h", extra=catch_up))
    installation.run("plan")
    stamp = "2026-01-01 00:00:00+00:00" if not store.sqlite else "2026-01-01 00:00:00.000000"
    store.query("INSERT INTO sweepd_policies (name, first_seen_at, last_run_at) VALUES ('old', ?, ?)", [stamp, stamp])
    with installation.daemon() as daemon:
        daemon.wait_for_event("policy_scheduled", policy="old")
        if runs:
            daemon.wait_for_event("sweep_finished", policy="old")
        time.sleep(1.0)  # nothing else may come, and only time can show that
        assert len(daemon.events("sweep_finished")) == runs
    assert directory.exists() is (runs == 0)


def test_a_root_swapped_under_the_daemon_stops_it_and_it_goes_on_by_itself(
    installation: Installation, store: Store
) -> None:
    directory = add(installation, "task_a")
    with installation.daemon() as daemon:
        away = installation.root.rename(installation.root.with_name("away"))
        installation.root.mkdir()
        refused = daemon.delete("task_a")
        daemon.wait_for_event("component_changed", component="storage_root", level="error")
        ready = daemon.get("/readyz")
        row = store.task("task_a")
        installation.root.rmdir()
        away.rename(installation.root)
        daemon.wait_for_event("component_changed", component="storage_root", level="info")
        back = daemon.delete("task_a")
    assert refused.status_code == 503
    assert refused.json()["error_code"] == "ROOT_UNAVAILABLE"
    assert "Retry-After" in refused.headers
    assert ready.status_code == 503
    assert row is not None
    assert row["directory_exists"] in (True, 1, None)
    assert back.status_code == 200
    assert not directory.exists()


def test_it_starts_without_its_database_and_works_once_it_is_there(
    postgres_installation: Installation, postgres_server: object
) -> None:
    from support.postgres import PostgresServer

    assert isinstance(postgres_server, PostgresServer)
    directory = add(postgres_installation, "task_a")
    postgres_server.stop()
    with postgres_installation.daemon(ready=False) as daemon:
        daemon.wait_for_event("not_ready", component="catalog")
        assert daemon.get("/livez").status_code == 200
        assert daemon.get("/readyz").status_code == 503
        refused = daemon.delete("task_a")
        postgres_server.start()
        daemon.wait_for_event("ready")
        deleted = daemon.delete("task_a")
    assert refused.status_code == 503
    assert deleted.status_code == 200
    assert not directory.exists()


def test_a_password_in_parameters_or_url_never_reaches_log_or_answers(postgres_installation: Installation) -> None:
    add(postgres_installation, "task_a")
    with postgres_installation.daemon() as daemon:
        answers = [
            daemon.get("/api/v0/data_pipeline/tasks").text,
            daemon.delete("task_a").text,
            daemon.get("/metrics").text,
        ]
        log = str(daemon.events())
    assert "secret" not in log
    assert not any("secret" in answer or "db_connection" in answer for answer in answers)


def _ask(daemon: Daemon, task_id: str) -> None:
    with contextlib.suppress(requests.RequestException):  # the daemon may be killed on purpose
        daemon.delete(task_id)


def _until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def _left(trash: Path) -> int:
    """Files in the trash; it may be on its way there still."""
    left = [path for path in trash.glob("*/*.purge/**/*") if path.is_file()]
    return len(left) if any(trash.glob("*/*.purge")) else 10**9


def test_a_database_that_takes_no_changes_at_the_start_is_waited_for(postgres_installation: Installation) -> None:
    store = Store(postgres_installation.url)
    postgres_installation.write_policies(sweeping())
    database = f"ALTER DATABASE {store.url.rpartition('/')[2]}"
    store.query(f"{database} SET default_transaction_read_only = on")
    with postgres_installation.daemon(ready=False) as daemon:
        daemon.wait_for_event("not_ready", component="catalog")
        time.sleep(1.5)  # it tries again meanwhile
        assert (daemon.get("/livez").status_code, daemon.get("/readyz").status_code) == (200, 503)
        with connect(postgres_installation.url, options="-c default_transaction_read_only=off") as connection:
            connection.cursor().execute(f"{database} RESET default_transaction_read_only")
        daemon.wait_for_event("ready")


def test_a_table_that_is_locked_at_the_start_is_waited_for(postgres_installation: Installation) -> None:
    """By a migration of the pipeline, say."""
    with connect(postgres_installation.url) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("LOCK TABLE data_pipeline_tasks IN ACCESS EXCLUSIVE MODE")
        with postgres_installation.daemon(ready=False) as daemon:
            daemon.wait_for_event("not_ready", component="catalog")
            assert (daemon.get("/livez").status_code, daemon.get("/readyz").status_code) == (200, 503)
            connection.rollback()
            daemon.wait_for_event("ready")


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the database makes no difference here
def test_while_the_root_is_away_that_is_what_everybody_is_told(installation: Installation) -> None:
    add(installation, "task_1")
    with installation.daemon() as daemon:
        installation.root.rename(installation.root.with_name("away"))
        daemon.wait_for_event("component_changed", component="storage_root", level="error")
        time.sleep(6)  # by then everything has been looked at once more
        checks = daemon.get("/readyz").json()["data"]["checks"]
        assert [name for name, check in checks.items() if not check["ready"]] == ["storage_root"]
        assert daemon.delete("task_1").json()["error_code"] == "ROOT_UNAVAILABLE"
        assert [task["task_id"] for task in daemon.get(TASKS).json()["tasks"]] == ["task_1"]
        installation.root.with_name("away").rename(installation.root)
        daemon.wait_for_event("component_changed", component="storage_root", level="info")
        assert daemon.delete("task_1").status_code == 200


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)  # the lock is the root's
def test_who_holds_the_root_for_a_moment_does_not_end_a_start(installation: Installation) -> None:
    """As ``sweepd accept-database`` does."""
    with (installation.root / ".sweepd" / "daemon.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with installation.daemon(ready=False) as daemon:
            time.sleep(1)
            assert daemon.process.poll() is None
            fcntl.flock(lock, fcntl.LOCK_UN)
            daemon.wait_for_event("ready")
