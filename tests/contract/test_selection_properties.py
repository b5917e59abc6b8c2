"""Random tables under random policies: the database and a plain reading of the rules in Python never disagree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from daemon.catalog.catalog import Catalog
from support.judging import judge_in, policy_set
from support.site import RUNNING, make_catalog
from support.stores import Store

EXAMPLES = 5000 if os.environ.get("TORTURE") else 120

Row = dict[str, Any]
Document = dict[str, Any]

SECONDS = {"1h": 3600, "1d": 86_400, "30d": 30 * 86_400}
COLUMNS = {"created": "created_at", "started": "started_at", "completed": "completed_at", "updated": "updated_at"}
GROUPS = {"database": "db_name", "user": "by_user", "status": "status"}

# Around every bound, to the second; never, and in the future.
offsets = (
    st.none()
    | st.builds(
        lambda age, by: -SECONDS[age] + by, st.sampled_from(sorted(SECONDS)), st.sampled_from([-3600, -1, 0, 1, 3600])
    )
    | st.sampled_from([0, 1, 86_400])
)
texts = st.text("abA%_\\[]*?^\n", max_size=4)
patterns = st.text("abA%_\\]*?^", min_size=1, max_size=4)
names = st.sampled_from(["a", "b", "B"])

rows = st.fixed_dictionaries(
    {
        "task_id": st.sampled_from([f"{letter}{digit}" for letter in "abA" for digit in range(4)]),
        "task_name": st.none() | texts,
        "status": st.sampled_from(["pending", "in_progress", "completed", "failed"]),
        "by_user": st.none() | names,
        "db_name": st.none() | names,
        "directory_exists": st.sampled_from([None, True, True, False]),
        "steps": st.lists(st.sampled_from(["completed", "running", "failed"]), max_size=2),
        **dict.fromkeys(COLUMNS.values(), offsets),
    }
)
tables = st.lists(rows, max_size=9, unique_by=lambda row: str(row["task_id"]))

ages = st.fixed_dictionaries({"age": st.sampled_from(sorted(SECONDS)), "by": st.sampled_from(sorted(COLUMNS))})
globs = st.fixed_dictionaries({"glob": st.lists(patterns, min_size=1, max_size=2)})
leaf_words = {
    "status": st.lists(st.sampled_from(["pending", "completed", "failed", "in_progress"]), min_size=1, max_size=2),
    "user": st.lists(names, min_size=1, max_size=2),
    "database": st.lists(names, min_size=1, max_size=2),
    "older_than": ages,
    "newer_than": ages,
    "task_id": globs,
    "task_name": globs,
    "directory": st.sampled_from(["present", "missing"]),
}
leaves = st.one_of(*(st.fixed_dictionaries({word: values}) for word, values in leaf_words.items())) | (
    st.fixed_dictionaries({}, optional=leaf_words).filter(bool)
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.builds(lambda leaf, more: {**leaf, "not": more}, leaves, inner),
    ),
    max_leaves=6,
)
keeps = st.none() | st.fixed_dictionaries({}, optional={"min_age": st.sampled_from(sorted(SECONDS))}).flatmap(
    lambda keep: (
        st.fixed_dictionaries(
            {"last": st.integers(1, 3), "per": st.lists(st.sampled_from(sorted(GROUPS)), unique=True)}
        ).map(lambda last: {**last, **keep})
        | (st.just(keep) if keep else st.nothing())
    )
)
policies = st.fixed_dictionaries(
    {
        "match": conditions,
        "protect": st.lists(conditions, max_size=2),
        "keep": keeps,
        "delete": st.sampled_from(["directory", "directory_and_records", "records"]),
    }
)


class Rules:
    """The policy language read from its description, row by row; None is unknown."""

    def __init__(self, table: list[Row], policy: Document, now: datetime) -> None:
        self.table = [row for row in table if (row["directory_exists"] is False) == (policy["delete"] == "records")]
        self.policy = policy
        self.now = now

    def verdict(self, row: Row) -> str:
        keep = self.policy["keep"] or {}
        if row["status"] in RUNNING or "running" in row["steps"]:
            return "running"
        if any(self.truth(condition, row) is not False for condition in self.policy["protect"]):
            return "protected"
        if "last" in keep and self.rank(row) <= keep["last"]:
            return "keep_last"
        if "min_age" in keep:
            last_event = row["completed_at"] or row["started_at"] or row["created_at"]
            if last_event is None or (self.now - last_event).total_seconds() < SECONDS[keep["min_age"]]:
                return "keep_min_age"
        return "selected" if self.truth(self.policy["match"], row) else "not_matched"

    def rank(self, row: Row) -> int:
        """How many of its group are at least as new; an undated task is as new as can be."""
        mine = self.newness(row)
        if mine is None:
            return 0
        group = [GROUPS[name] for name in self.policy["keep"]["per"]]
        same = [other for other in self.table if all(other[column] == row[column] for column in group)]
        return sum(theirs is not None and theirs >= mine for theirs in map(self.newness, same))

    def newness(self, row: Row) -> tuple[datetime, str] | None:
        date = row["created_at"] or row["started_at"] or row["completed_at"]
        return None if date is None else (date, row["task_id"])

    def truth(self, condition: Document, row: Row) -> bool | None:
        values = [self.leaf(word, condition[word], row) for word in leaf_words if word in condition]
        if "all" in condition:
            values.append(both([self.truth(child, row) for child in condition["all"]]))
        if "any" in condition:
            values.append(opposite(both([opposite(self.truth(child, row)) for child in condition["any"]])))
        if "not" in condition:
            values.append(opposite(self.truth(condition["not"], row)))
        return both(values)

    def leaf(self, word: str, asked: Any, row: Row) -> bool | None:
        if word in ("older_than", "newer_than"):
            stamp = row[COLUMNS[asked["by"]]]
            if stamp is None:
                return None
            old = (self.now - stamp).total_seconds() >= SECONDS[asked["age"]]
            return bool(old == (word == "older_than"))
        if word in ("task_id", "task_name"):
            return row[word] is not None and any(fits(pattern, row[word]) for pattern in asked["glob"])
        if word == "directory":
            return bool((row["directory_exists"] is not False) == (asked == "present"))
        return bool(row[{"user": "by_user", "database": "db_name"}.get(word, word)] in asked)

    def clauses(self, condition: Document, row: Row) -> Iterator[bool | None]:
        for word in leaf_words:
            if word in condition:
                yield self.leaf(word, condition[word], row)
        for word in ("all", "any"):
            for child in condition.get(word, []):
                yield from self.clauses(child, row)
        if "not" in condition:
            yield from self.clauses(condition["not"], row)

    def order(self) -> list[str]:
        def key(row: Row) -> tuple[bool, datetime, str]:
            since = row["completed_at"] or row["started_at"] or row["created_at"]
            return (since is None, since or self.now, row["task_id"])

        return [row["task_id"] for row in sorted(self.table, key=key)]


def both(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def opposite(value: bool | None) -> bool | None:
    return None if value is None else not value


def fits(pattern: str, text: str) -> bool:
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(c, re.escape(c)) for c in pattern), text, re.DOTALL) is not None


class RollBack(Exception):
    """Leaves the table as empty as it was."""


@pytest.fixture
def catalog(store: Store) -> Iterator[Catalog]:
    made = make_catalog(store)
    made.check()
    yield made
    made.close()


ON_THE_BOUND: Row = {
    **dict.fromkeys(("task_name", "by_user", "db_name", "directory_exists"), None),
    **dict.fromkeys(COLUMNS.values(), -86_400),
    "task_id": "a0",
    "status": "completed",
    "steps": [],
}


def by_age(word: str, keep: Document | None = None) -> Document:
    age = {"age": "1d", "by": "completed"}
    return {"match": {word: age}, "protect": [], "keep": keep, "delete": "directory"}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables, policies)
@example([ON_THE_BOUND], by_age("older_than"))
@example([ON_THE_BOUND], by_age("newer_than"))
@example([ON_THE_BOUND], by_age("older_than", {"min_age": "1d"}))
def test_the_database_judges_as_the_rules_say(catalog: Catalog, table: list[Row], policy: Document) -> None:
    compiled = policy_set(
        policy["match"], protect=policy["protect"], keep=policy["keep"], delete=policy["delete"], allow_all=True
    )
    # What matches everything by its structure needs allow_all, and then says just that.
    assume(not compiled.policies[0].match.matches_everything())
    try:
        with catalog.write() as session:
            now = session.now.local.replace(microsecond=0)
            moments = [{**row, **{name: moved(row[name], now) for name in COLUMNS.values()}} for row in table]
            insert(session.connection, moments, sqlite=catalog.database.is_sqlite)
            judged = judge_in(session, catalog, compiled)
            raise RollBack
    except RollBack:
        pass
    rules = Rules(moments, policy, now)
    assert list(judged) == rules.order()
    for row in rules.table:
        one = judged[row["task_id"]]
        assert one.verdict.value == rules.verdict(row)
        assert one.clauses == tuple(rules.clauses(policy["match"], row))


def moved(offset: int | None, now: datetime) -> datetime | None:
    return None if offset is None else now + timedelta(seconds=offset)


def insert(connection: sa.Connection, table: list[Row], *, sqlite: bool) -> None:
    columns = [name for name in (table[0] if table else {}) if name != "steps"]
    for row in table:
        values = {n: str(row[n]) if sqlite and isinstance(row[n], datetime) else row[n] for n in columns}
        marks = ", ".join(f":{name}" for name in columns)
        statement = f"INSERT INTO data_pipeline_tasks ({', '.join(columns)}, parameters) VALUES ({marks}, '{{}}')"
        connection.execute(sa.text(statement), values)
        for step in row["steps"]:
            connection.execute(
                sa.text(
                    "INSERT INTO data_pipeline_task_steps (task_id, step_name, step_status)"
                    " VALUES (:task_id, 'qa_generation', :step)"
                ),
                {"task_id": row["task_id"], "step": step},
            )
