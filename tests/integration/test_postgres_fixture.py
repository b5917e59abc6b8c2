"""The server that other tests rely on is a real one, and set up as production is."""

from __future__ import annotations

import os
from datetime import timedelta

import psycopg2
import pytest

from support.postgres import PostgresServer, connect, create_pipeline_tables

INSERT = "INSERT INTO data_pipeline_tasks (task_id, status, parameters) VALUES ('task_20250702_214530', %s, '{}')"
INSERT_STEP = "INSERT INTO data_pipeline_task_steps (task_id, step_name) VALUES ('task_20250702_214530', %s)"


def test_a_fresh_database_answers_and_waits_for_its_log(postgres_url: str) -> None:
    with connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int, current_setting('fsync'),"
            " current_setting('synchronous_commit'), (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')"
        )
        version, fsync, synchronous_commit, tables = cursor.fetchone()
    assert version >= 140000
    assert (fsync, synchronous_commit, tables) == ("off", "on", 0)


def test_the_server_runs_unprivileged(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    uid = os.stat(f"/proc/{postgres_server.pid}").st_uid
    assert uid != 0
    if os.geteuid() != 0:
        assert uid == os.geteuid()


def test_it_answers_on_its_unix_socket_too(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    with connect(
        "dbname=postgres user=sweepd", host=str(postgres_server.socket_directory), port=postgres_server.port
    ) as connection:
        assert connection.info.dsn_parameters["host"] == str(postgres_server.socket_directory)


def test_the_zone_of_a_database_is_the_zone_of_its_timestamps(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    url = postgres_server.create_database(timezone="Asia/Shanghai")
    try:
        with connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('timezone'), CURRENT_TIMESTAMP::timestamp - (now() AT TIME ZONE 'UTC')"
            )
            zone, ahead = cursor.fetchone()
        assert zone == "Asia/Shanghai"
        assert ahead == timedelta(hours=8)
    finally:
        postgres_server.drop_database(url)


def test_committed_rows_outlive_a_crash_of_the_server(postgres_server: PostgresServer, postgres_url: str) -> None:
    create_pipeline_tables(postgres_url)
    with connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(INSERT, ["completed"])
    postgres_server.restart(mode="immediate")
    with connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT status FROM data_pipeline_tasks")
        assert cursor.fetchall() == [("completed",)]


def test_the_pipelines_constraints_refuse_an_unknown_status(postgres_url: str) -> None:
    create_pipeline_tables(postgres_url)
    with connect(postgres_url) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.CheckViolation, match="chk_status"):
            cursor.execute(INSERT, ["running"])
        cursor.execute(INSERT, ["in_progress"])


@pytest.mark.parametrize("task_name", [True, False], ids=["present", "older-installation"])
def test_the_view_works_whether_or_not_tasks_have_names(postgres_url: str, task_name: bool) -> None:
    create_pipeline_tables(postgres_url, task_name=task_name)
    with connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(INSERT, ["completed"])
        cursor.execute(INSERT_STEP, ["ddl_generation"])
        cursor.execute("SELECT * FROM v_data_pipeline_task_steps")
        columns = [column.name for column in cursor.description]
        (row,) = cursor.fetchall()
        assert ("task_name" in columns) is task_name
        assert dict(zip(columns, row, strict=True))["step_name"] == "ddl_generation"
        with pytest.raises(psycopg2.errors.DependentObjectsStillExist):
            cursor.execute("ALTER TABLE data_pipeline_tasks DROP COLUMN db_name")


def test_steps_go_with_their_task(postgres_url: str) -> None:
    create_pipeline_tables(postgres_url)
    with connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(INSERT, ["completed"])
        cursor.execute(INSERT_STEP, ["qa_generation"])
        cursor.execute("DELETE FROM data_pipeline_tasks")
        cursor.execute("SELECT count(*) FROM data_pipeline_task_steps")
        assert cursor.fetchone() == (0,)
