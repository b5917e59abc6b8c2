"""Whatever the database refuses during ``sweepd init`` is a sentence with what to type, and nothing is half done."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.cli.exits import Exit
from support.daemons import Installation
from support.postgres import PostgresServer, connect, create_pipeline_tables
from support.stores import Store

USES = "GRANT SELECT, UPDATE, DELETE ON data_pipeline_tasks, data_pipeline_task_steps TO {role}"
CREATES = "GRANT CREATE ON SCHEMA public TO {role}"


@dataclass
class Guest:
    """A role that is not the owner of the pipeline's tables, and an installation that uses it."""

    role: str
    store: Store
    installation: Installation

    def allow(self, *statements: str) -> None:
        for statement in statements:
            self.store.query(statement.format(role=self.role))

    def refused(self) -> str:
        """What ``init`` says as it is refused."""
        done = self.installation.run("init", check=False)
        assert (done.returncode, done.stdout) == (Exit.CATALOG, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("sweepd: ")
        assert "tried again" not in line
        return line


@pytest.fixture
def guest(postgres_server: PostgresServer, postgres_url: str, tmp_path: Path) -> Iterator[Guest]:
    create_pipeline_tables(postgres_url)
    role = f"guest_{secrets.token_hex(4)}"
    store = Store(postgres_url)
    store.query(f"CREATE ROLE {role} LOGIN")
    made = Installation(tmp_path / "site", re.sub(r"//[^@]+@", f"//{role}@", postgres_url))
    made.root.mkdir(parents=True)
    yield Guest(role, store, made)
    postgres_server.start()
    store.query(f"DROP OWNED BY {role}")
    with connect(postgres_server.url()) as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {role} RESET ALL")
        cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_who_does_not_own_the_tables_is_told_what_their_owner_types(guest: Guest) -> None:
    guest.allow(CREATES)
    said = guest.refused()
    assert "as their owner: " in said
    for statement in said.partition("as their owner: ")[2].partition("; then run")[0].split("; "):
        guest.store.query(statement)
    assert "sweepd's tables" not in guest.installation.run("init").stderr
    assert guest.installation.run("tasks").returncode == Exit.OK
    again = guest.installation.run("init")
    assert again.returncode == Exit.OK


def test_who_may_not_make_tables_is_told_so_before_anything_is_made(guest: Guest) -> None:
    guest.allow(USES)
    assert f"GRANT CREATE ON SCHEMA public TO {guest.role}" in guest.refused()
    assert guest.store.query("SELECT 1 FROM pg_tables WHERE tablename LIKE 'sweepd%%'") == []
    assert not (guest.installation.root / ".sweepd").exists()


def test_tables_in_a_schema_that_may_not_be_used_are_found_all_the_same(guest: Guest) -> None:
    guest.allow(
        "CREATE SCHEMA pipeline",
        "ALTER TABLE data_pipeline_tasks SET SCHEMA pipeline",
        "ALTER TABLE data_pipeline_task_steps SET SCHEMA pipeline",
    )
    said = guest.refused()
    assert f"GRANT USAGE, CREATE ON SCHEMA pipeline TO {guest.role}" in said
    assert f"ALTER ROLE {guest.role} SET search_path TO pipeline" in said
    guest.allow("GRANT USAGE ON SCHEMA pipeline TO {role}", "ALTER ROLE {role} SET search_path TO pipeline")
    assert "GRANT CREATE ON SCHEMA pipeline" in guest.refused()


def test_a_database_without_the_table_is_told_from_one_where_it_is_not_seen(guest: Guest) -> None:
    guest.allow("DROP TABLE data_pipeline_task_steps CASCADE", "DROP TABLE data_pipeline_tasks")
    assert "it has to be the pipeline's database" in guest.refused()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([USES, CREATES, "ALTER ROLE {role} SET default_transaction_read_only = on"], "takes no changes"),
        ([USES, CREATES, "ALTER ROLE {role} SET statement_timeout = 1"], "statement_timeout = 0"),
        ([USES, CREATES, "ALTER ROLE {role} CONNECTION LIMIT 0"], "too many connections"),
        ([USES, CREATES, "ALTER ROLE {role} NOLOGIN"], "not permitted to log in"),
        ([USES, CREATES, "CREATE TABLE sweepd_roots (a int)"], "something of that name already"),
        ([CREATES, "CREATE TABLE sweepd_alembic_version (version_num text)"], "grant what sweepd needs"),
        ([USES, CREATES, "ALTER TABLE data_pipeline_tasks ENABLE ROW LEVEL SECURITY"], "as their owner"),
    ],
)
def test_each_refusal_has_its_sentence(guest: Guest, statements: list[str], said: str) -> None:
    guest.allow(*statements)
    assert said in guest.refused()


@pytest.mark.parametrize(
    ("pattern", "new", "said"),
    [
        (r"//[^@]+@", "//nobody_there@", "check user, password and database"),
        (r"/test_\w+$", "/no_database_there", "check user, password and database"),
        (r":\d+/", ":1/", "does not answer"),
        (r"$", "?no_such_option=1", "cannot be used"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_as_what_it_is(guest: Guest, pattern: str, new: str, said: str) -> None:
    url = re.sub(pattern, new, guest.installation.url, count=1)
    guest.installation = Installation(guest.installation.folder, url)
    assert said in guest.refused()


@pytest.mark.parametrize("command", ["tasks", "plan", "sweeps", "holds", "trash", "deletions"])
def test_one_shot_commands_promise_nothing(guest: Guest, command: str) -> None:
    guest.store.query(f"ALTER ROLE {guest.role} SET statement_timeout = 1")
    done = guest.installation.run(command, check=False)
    assert done.returncode == Exit.CATALOG
    assert "tried again" not in done.stderr
    assert "Traceback" not in done.stderr
