"""Random tables under random policies: the database and a plain reading of the rules in Python never disagree."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from daemon.catalog import tables as sweepd
from daemon.catalog.catalog import Catalog, Session
from daemon.policy.models import Condition
from support.judging import judge_in, policy_set
from support.site import RUNNING, make_catalog
from support.stores import Store

# TORTURE=1 tries long: python -m pytest -n 0 tests/contract/test_selection_properties.py
EXAMPLES, SECONDS_AT_MOST = (10_000, 7200) if os.environ.get("TORTURE") else (25, 120)

Row = dict[str, Any]
Document = dict[str, Any]

SECONDS = {"1h": 3600, "1d": 86_400, "30d": 30 * 86_400}
SIZES = {"1KB": 1000, "1KiB": 1024, "2.5MB": 2_500_000}
COLUMNS = {"created": "created_at", "started": "started_at", "completed": "completed_at", "updated": "updated_at"}
SCANNED = {"modified": "modified_at", "first_seen": "first_seen_at"}
MOMENTS = {**SCANNED, "orphan": "orphan_since"}
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

task_ids = st.sampled_from([f"{letter}{digit}" for letter in "abA" for digit in range(4)])

rows = st.fixed_dictionaries(
    {
        "task_id": task_ids,
        "task_name": st.none() | texts,
        "status": st.sampled_from(["pending", "in_progress", "completed", "failed"]),
        "by_user": st.none() | names,
        "db_name": st.none() | names,
        "directory_exists": st.sampled_from([None, True, True, False]),
        "steps": st.lists(st.sampled_from(["completed", "running", "failed"]), max_size=2),
        **dict.fromkeys(COLUMNS.values(), offsets),
    }
)
measured = st.fixed_dictionaries(
    {
        "size_bytes": st.none() | st.builds(int.__add__, st.sampled_from(sorted(SIZES.values())), st.integers(-1, 1)),
        "freed_bytes": st.none() | st.integers(0, 3),
        "modified_at": offsets,
        "first_seen_at": offsets.filter(lambda offset: offset is not None),
        "orphan_since": offsets.filter(lambda offset: offset is not None),
        "orphan_sightings": st.integers(0, 3),
    }
)
inventories = st.dictionaries(task_ids, measured, max_size=8)
holds = st.lists(
    st.fixed_dictionaries(
        {
            "pattern": task_ids | st.sampled_from(["a*", "?1", "b?", "*", "a[01]", "A\\*"]),
            # from now on: to live for so long, or for ever
            "expires": st.sampled_from([None, 3600, 0, -1]),
            "released": st.sampled_from([False, False, True]),
        }
    ),
    max_size=2,
)
tables = st.lists(rows, max_size=9, unique_by=lambda row: str(row["task_id"]))

ages = st.fixed_dictionaries(
    {"age": st.sampled_from(sorted(SECONDS)), "by": st.sampled_from(sorted({**COLUMNS, **SCANNED}))}
)
globs = st.fixed_dictionaries({"glob": st.lists(patterns, min_size=1, max_size=2)})
sizes = st.builds(
    lambda low, high: {**low, **high},
    *(
        st.dictionaries(st.sampled_from(words), st.sampled_from(sorted(SIZES)), max_size=1)
        for words in (["gte", "gt"], ["lte", "lt"])
    ),
).filter(lambda size: bool(size) and fits_some(size))
leaf_words = {
    "status": st.lists(st.sampled_from(["pending", "completed", "failed", "in_progress"]), min_size=1, max_size=2),
    "user": st.lists(names, min_size=1, max_size=2),
    "database": st.lists(names, min_size=1, max_size=2),
    "older_than": ages,
    "newer_than": ages,
    "task_id": globs,
    "task_name": globs,
    "directory": st.sampled_from(["present", "missing"]),
    "size": sizes,
}
orphan_words = {
    "task_id": globs,
    "size": sizes,
    **dict.fromkeys(
        ("older_than", "newer_than"),
        st.fixed_dictionaries({"age": st.sampled_from(sorted(SECONDS)), "by": st.sampled_from(sorted(SCANNED))}),
    ),
}


def conditions_of(words: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Document]:
    leaves = st.one_of(*(st.fixed_dictionaries({word: values}) for word, values in words.items())) | (
        st.fixed_dictionaries({}, optional=words).filter(bool)
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"not": inner}),
            st.builds(lambda leaf, more: {**leaf, "not": more}, leaves, inner),
        ),
        max_leaves=6,
    )


conditions = conditions_of(leaf_words)
min_ages = st.fixed_dictionaries({"min_age": st.sampled_from(sorted(SECONDS))})
orders = st.lists(st.sampled_from([("oldest", "newest"), ("largest", "smallest")]), min_size=1, max_size=2, unique=True)
orders = orders.flatmap(lambda pairs: st.tuples(*map(st.sampled_from, pairs))).map(list)
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
        "source": st.just("tasks"),
        "match": conditions,
        "protect": st.lists(conditions, max_size=2),
        "keep": keeps,
        "order": orders,
        "delete": st.sampled_from(["directory", "directory_and_records", "records"]),
    }
)
orphan_policies = st.fixed_dictionaries(
    {
        "source": st.just("orphans"),
        "match": conditions_of(orphan_words),
        "protect": st.lists(conditions, max_size=2),
        "keep": st.none() | min_ages,
        "order": orders,
        "delete": st.just("directory"),
    }
)


def fits_some(size: Document) -> bool:
    """Whether a size exists that is within these bounds; others are refused."""
    low, high = (SIZES[size[word]] if word in size else None for word in (at_least(size), at_most(size)))
    return low is None or high is None or low < high or (low == high and "gte" in size and "lte" in size)


def at_least(size: Document) -> str:
    return "gt" if "gt" in size else "gte"


def at_most(size: Document) -> str:
    return "lt" if "lt" in size else "lte"


class Rules:
    """The policy language read from its description, row by row; None is unknown."""

    def __init__(self, table: list[Row], policy: Document, now: datetime, held: list[Document]) -> None:
        self.table = [row for row in table if (row["directory_exists"] is False) == (policy["delete"] == "records")]
        self.policy = policy
        self.patterns = [hold["pattern"] for hold in held if not hold["released"] and in_force(hold)]
        self.now = now

    def verdict(self, row: Row) -> str:
        keep = self.policy["keep"] or {}
        if any(fits(pattern, row["task_id"]) for pattern in self.patterns):
            return "held"
        if row["status"] in RUNNING or "running" in row["steps"]:
            return "running"
        if any(self.truth(condition, row) is not False for condition in self.policy["protect"]):
            return "protected"
        if "last" in keep and self.rank(row) <= keep["last"]:
            return "keep_last"
        if "min_age" in keep:
            last_event = self.since(row)
            if last_event is None or (self.now - last_event).total_seconds() < SECONDS[keep["min_age"]]:
                return "keep_min_age"
        return "selected" if self.truth(self.policy["match"], row) else "not_matched"

    def since(self, row: Row) -> Any:
        if self.policy["source"] == "orphans":
            found = row["first_seen_at"]
        else:
            found = row["completed_at"] or row["started_at"] or row["created_at"]
        assert found is None or isinstance(found, datetime)
        return found

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
            stamp = row[{**COLUMNS, **SCANNED}[asked["by"]]]
            if stamp is None:
                return None
            old = (self.now - stamp).total_seconds() >= SECONDS[asked["age"]]
            return bool(old == (word == "older_than"))
        if word in ("task_id", "task_name"):
            return row[word] is not None and any(fits(pattern, row[word]) for pattern in asked["glob"])
        if word == "size":
            size = row["size_bytes"]
            return None if size is None else all(COMPARE[sign](size, SIZES[text]) for sign, text in asked.items())
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
        table = sorted(self.table, key=lambda row: row["task_id"])
        for word in reversed(self.policy["order"]):
            by_date = word in ("oldest", "newest")
            known: dict[str, Any] = {
                row["task_id"]: self.since(row) if by_date else row["freed_bytes"] for row in table
            }
            with_it = [row for row in table if known[row["task_id"]] is not None]
            with_it.sort(key=lambda row: known[row["task_id"]], reverse=word in ("newest", "largest"))
            table = with_it + [row for row in table if known[row["task_id"]] is None]
        return [row["task_id"] for row in table]


def in_force(hold: Document) -> bool:
    return hold["expires"] is None or hold["expires"] > 0


COMPARE = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}


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


NOT_SCANNED: Row = dict.fromkeys(("size_bytes", "freed_bytes", *SCANNED.values()))
NO_ROW: Row = {
    **dict.fromkeys(("task_name", "status", "by_user", "db_name", *COLUMNS.values())),
    "directory_exists": True,
    "steps": [],
}


def by_age(word: str, keep: Document | None = None) -> Document:
    age = {"age": "1d", "by": "completed"}
    return {
        "source": "tasks",
        "match": {word: age},
        "protect": [],
        "keep": keep,
        "order": ["oldest"],
        "delete": "directory",
    }


@pytest.mark.timeout(SECONDS_AT_MOST)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(tables, inventories, holds, policies | orphan_policies)
@example([ON_THE_BOUND], {}, [], by_age("older_than"))
@example([ON_THE_BOUND], {}, [], by_age("newer_than"))
@example([ON_THE_BOUND], {}, [], by_age("older_than", {"min_age": "1d"}))
def test_the_database_judges_as_the_rules_say(
    catalog: Catalog, table: list[Row], inventory: dict[str, Row], held: list[Document], policy: Document
) -> None:
    parts = {name: policy[name] for name in ("source", "protect", "keep", "order", "delete")}
    compiled = policy_set(policy["match"], allow_all=True, **parts)
    # What is always true by its structure needs allow_all, and then says just that.
    assume(compiled.policies[0].match != Condition())
    try:
        with catalog.write() as session:
            now = session.now.local.replace(microsecond=0)
            moments = [moved(row, COLUMNS, now) for row in table]
            insert(session.connection, moments, sqlite=catalog.database.is_sqlite)
            found = {task_id: moved(row, MOMENTS, now) for task_id, row in inventory.items()}
            shift = session.now.utc - session.now.local.replace(tzinfo=UTC)
            insert_scanned(session, found, held, shift)
            judged = judge_in(session, catalog, compiled)
            raise RollBack
    except RollBack:
        pass
    rules = Rules(looked_at(moments, found, policy), policy, now, held)
    assert list(judged) == rules.order()
    for row in rules.table:
        one = judged[row["task_id"]]
        assert one.verdict.value == rules.verdict(row)
        assert one.clauses == tuple(rules.clauses(policy["match"], row))


def looked_at(table: list[Row], inventory: dict[str, Row], policy: Document) -> list[Row]:
    """The rows with what was scanned, or the directories without a row that were met twice."""
    if policy["source"] == "tasks":
        return [{**NOT_SCANNED, **inventory.get(row["task_id"], {}), **row} for row in table]
    with_row = {row["task_id"] for row in table}
    return [
        {**NO_ROW, **row, "task_id": task_id, "first_seen_at": row["orphan_since"]}
        for task_id, row in inventory.items()
        if task_id not in with_row and row["orphan_sightings"] >= 2
    ]


def moved(row: Row, columns: dict[str, str], now: datetime) -> Row:
    """With dates instead of seconds from now on."""
    dates = {name: None if row[name] is None else now + timedelta(seconds=row[name]) for name in columns.values()}
    return {**row, **dates}


def insert_scanned(session: Session, found: dict[str, Row], held: list[Document], shift: timedelta) -> None:
    """What scans found and who holds what; ``shift`` makes an instant of the pipeline's wall time."""
    values = []
    for task_id, row in found.items():
        dates = {
            name: None if row[name] is None else (row[name] + shift).replace(tzinfo=UTC) for name in MOMENTS.values()
        }
        values.append(
            {"sightings": 9, **row, **dates, "task_id": task_id, "last_seen_at": session.now.utc, "signature": "-"}
        )
    if values:
        session.connection.execute(sweepd.inventory.insert(), values)
    for number, hold in enumerate(held):
        expires = None if hold["expires"] is None else session.now.utc + timedelta(seconds=hold["expires"])
        session.connection.execute(
            sweepd.holds.insert().values(
                hold_id=f"{number:028}",
                pattern=hold["pattern"],
                owner="alice",
                reason="looked into",
                placed_at=session.now.utc,
                expires_at=expires,
                released_at=session.now.utc if hold["released"] else None,
            )
        )


def insert(connection: sa.Connection, table: list[Row], *, sqlite: bool) -> None:
    columns = [name for name in (table[0] if table else {}) if name != "steps"]
    values = [{n: str(row[n]) if sqlite and isinstance(row[n], datetime) else row[n] for n in columns} for row in table]
    marks = ", ".join(f":{name}" for name in columns)
    task = f"INSERT INTO data_pipeline_tasks ({', '.join(columns)}, parameters) VALUES ({marks}, '{{}}')"
    step = (
        "INSERT INTO data_pipeline_task_steps (task_id, step_name, step_status)"
        " VALUES (:task_id, 'qa_generation', :step)"
    )
    steps = [{"task_id": row["task_id"], "step": step} for row in table for step in row["steps"]]
    for statement, entries in ((task, values), (step, steps)):
        if entries:
            connection.execute(sa.text(statement), entries)
