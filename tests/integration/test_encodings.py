"""Databases that are not UTF-8: no name and no reason ends a command, and every sweep is recorded."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.catalog import tasks
from daemon.doctor.examination import examine
from daemon.errors import TaskRefused
from support.daemons import Installation
from support.postgres import PostgresServer, connect, create_pipeline_tables
from support.prepared import Prepared
from support.site import make_catalog, opened
from support.site import request as request_of
from support.trees import fill

POLICY = """
version: 1
policies:
  - name: old
    description: 清理旧任务
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}, {not: {user: [李四]}}]}
    action: {trash: {retain: 7d}}
"""
NAMES = {"SQL_ASCII": ["张三".encode(), b"\xd5\xc5\xc8\xfd\xff"], "LATIN1": ["Jürgen".encode("latin-1")]}
READ = {"SQL_ASCII": ["张三", r"\xd5\xc5\xc8\xfd\xff"], "LATIN1": ["Jürgen"]}


@pytest.fixture(params=NAMES)
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(postgres_server: PostgresServer, encoding: str) -> Iterator[str]:
    postgres_server.start()
    name = f"test_{secrets.token_hex(6)}"
    with connect(postgres_server.url()) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    url = postgres_server.url(name)
    create_pipeline_tables(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def site(url: str, encoding: str, tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "site", url, POLICY)
    made.root.mkdir(parents=True)
    made.init()
    with connect(url) as connection, connection.cursor() as cursor:
        for number, name in enumerate(NAMES[encoding]):
            for age, days in (("old", 40), ("new", 1)):
                task = f"task_{age}_{number}".encode()
                cursor.execute(
                    b"INSERT INTO data_pipeline_tasks (task_id, status, parameters, by_user, task_name, completed_at, "
                    b"created_at) VALUES ('%s', 'completed', '{}', '%s', '%s', now() - interval '%d day', now())"
                    % (task, name, name, days)
                )
                fill(made.root / task.decode(), 2)
    return made


def test_every_command_works_there(site: Installation, encoding: str) -> None:
    listed = json.loads(site.run("tasks", "--json").stdout)
    said = json.dumps(listed, ensure_ascii=False).replace("\\\\", "\\")
    assert [name for name in READ[encoding] if name not in said] == []
    site.run("explain", "task_old_0")
    site.run("plan")
    site.run("sweep", "old")
    (sweep,) = json.loads(site.run("sweeps", "--json").stdout)["sweeps"]
    assert sweep["outcome"] == "success"
    assert sweep["deleted"] == len(READ[encoding])
    site.run("trash")
    site.run("restore", "task_old_0")
    site.run("hold", "task_new_0", "--reason", "审计 🙂")
    assert "task_new_0" in site.run("holds").stdout
    site.run("release", "task_new_0")
    site.run("delete", "task_new_0", "--reason", "不再需要", "--yes")
    said = json.loads(site.run("deletions", "--json").stdout)["deletions"]
    shown = "不再需要" if encoding == "SQL_ASCII" else r"\u4e0d\u518d\u9700\u8981"
    assert shown in {one["reason"] for one in said}
    site.run("inventory")
    with site.daemon() as daemon:
        answer = daemon.get("/api/v0/data_pipeline/tasks")
        assert answer.status_code == 200
        assert daemon.get("/api/v0/data_pipeline/tasks?user=%E6%9D%8E%E5%9B%9B").status_code == 200


def test_doctor_tells_the_encoding(site: Installation, encoding: str) -> None:
    assert any(one.check == "encoding" and encoding in one.found for one in examine(site.config))


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_half_a_surrogate_pair_and_a_nul_end_nothing_in_a_traceback(
    prepared: Prepared, tmp_path: Path, kind: str
) -> None:
    store = prepared.sqlite(tmp_path) if kind == "sqlite" else prepared.postgresql()
    with opened(store, tmp_path / "root") as site:
        site.init()
        site.task("task_1")
        for text in ("half \udcff", "a\0b"):
            try:
                site.engine.delete(request_of("task_1", reason=text))
            except TaskRefused as error:
                assert "is not Unicode text" in str(error)
                assert (site.path / "task_1").is_dir()
            else:
                site.directory("task_1")
    prepared.give_back(store)


def test_a_client_encoding_of_the_environment_does_not_count(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepared.postgresql()
    store.add_task("task_1", by_user="张三", status="completed")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    catalog = make_catalog(store)
    with catalog.read() as session:
        row = tasks.find(session.connection, session.tables, "task_1")
    catalog.close()
    prepared.give_back(store)
    assert row is not None
    assert row.by_user == "张三"
