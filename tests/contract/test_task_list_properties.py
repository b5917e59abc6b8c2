"""Random tables under random filters and orders: walked page by page, each task that fits is met once, in its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.catalog import tables as sweepd
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.task_list import NotAPlace, Order, Place, SortBy, TaskFilter, TaskList
from support.site import make_catalog
from support.stores import Store

EXAMPLES = 5_000 if os.environ.get("TORTURE") else 30

Row = dict[str, Any]

HOUR, DAY = 3600, 86_400
# Few of each, so that there are ties; around the bound of older_than to the second, with a fraction elsewhere.
moments = st.none() | st.sampled_from([-2 * DAY, -2 * DAY + 0.25, -DAY - 1, -DAY, -DAY + 1, -HOUR, -HOUR + 0.5, 0])
texts = st.text("abA%_\\é*", max_size=3)
ids = st.sampled_from([f"{letter}{digit}" for letter in "aAb_" for digit in range(6)])
rows = st.fixed_dictionaries(
    {
        "task_id": ids,
        "task_name": st.none() | texts,
        "status": st.sampled_from(["pending", "completed", "failed"]),
        "by_user": st.none() | st.sampled_from(["a", "B"]),
        "db_name": st.none() | st.sampled_from(["a", "B"]),
        "directory_exists": st.sampled_from([None, True, False]),
        "created_at": moments,
        "updated_at": moments,
        "size_bytes": st.none() | st.integers(0, 2),
    }
)
tables = st.lists(rows, max_size=14, unique_by=lambda row: str(row["task_id"]))
filters = st.fixed_dictionaries(
    {},
    optional={
        "statuses": st.lists(st.sampled_from(["pending", "completed", "unheard-of"]), min_size=1, max_size=2),
        "directory_exists": st.booleans(),
        "user": st.sampled_from(["a", "A", "B"]),
        "database": st.sampled_from(["a", "A", "B"]),
        "text": st.text("abAB%_\\é*0", min_size=1, max_size=2),
        "older_than": st.just(timedelta(days=1)),
    },
)
orders = st.builds(Order, st.sampled_from(SortBy), descending=st.booleans())


class RollBack(Exception):
    """Leaves the tables as empty as they were."""


@pytest.fixture
def catalog(store: Store) -> Iterator[Catalog]:
    made = make_catalog(store)
    made.check()
    yield made
    made.close()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables, filters, orders, st.integers(1, 5), st.integers(0, 16), rows)
def test_each_page_has_its_tasks(
    catalog: Catalog,
    table: list[Row],
    wanted: dict[str, Any],
    order: Order,
    limit: int,
    offset: int,
    newcomer: Row,
) -> None:
    try:
        with catalog.write() as session:
            now = session.now.local.replace(microsecond=0)
            table = [dated(row, now) for row in table]
            insert(session, table)
            listing = TaskList(session.tables, catalog.timeline, session.now, TaskFilter(**wanted), order)
            expected = [row["task_id"] for row in in_order(table, order) if fits(row, wanted, now)]

            page = listing.page(session.connection, limit=limit, offset=offset)
            assert [row.task_id for row in page.tasks] == expected[offset : offset + limit]
            assert page.total == len(expected)

            assert list(walk(listing, session, limit)) == expected
            others = {row["task_id"] for row in table}
            if newcomer["task_id"] not in others:
                met = list(walk(listing, session, limit, meanwhile=dated(newcomer, now)))
                assert [task_id for task_id in met if task_id in others] == expected
                assert len(met) == len(set(met))
            raise RollBack
    except RollBack:
        pass


def walk(listing: TaskList, session: Session, limit: int, *, meanwhile: Row | None = None) -> Iterator[str]:
    """The ids of all pages; ``meanwhile``: a row that comes after the first of them."""
    after: Place | None = None
    while True:
        page = listing.page(session.connection, limit=limit, after=after, counted=False)
        yield from (row.task_id for row in page.tasks)
        if page.end is None:
            return
        assert len(page.tasks) == limit
        after = page.end
        if meanwhile is not None:
            insert(session, [meanwhile])
            meanwhile = None


def in_order(table: list[Row], order: Order) -> list[Row]:
    column = {"created": "created_at", "updated": "updated_at", "size": "size_bytes"}.get(order.by, "task_id")
    having = [row for row in table if row[column] is not None]
    lacking = [row for row in table if row[column] is None]
    having.sort(key=lambda row: (row[column], row["task_id"]), reverse=order.descending)
    lacking.sort(key=lambda row: str(row["task_id"]), reverse=order.descending)
    return having + lacking


def fits(row: Row, wanted: dict[str, Any], now: datetime) -> bool:
    checks: dict[str, Callable[[Any], bool]] = {
        "statuses": lambda values: row["status"] in values,
        "directory_exists": lambda value: (row["directory_exists"] is not False) == value,
        "user": lambda value: row["by_user"] == value,
        "database": lambda value: row["db_name"] == value,
        "text": lambda value: any(small(value) in small(row[n]) for n in ("task_id", "task_name") if row[n]),
        "older_than": lambda age: row["created_at"] is not None and row["created_at"] <= now - age,
    }
    return all(checks[name](value) for name, value in wanted.items())


def small(text: str) -> str:
    return "".join(chr(ord(char) + 32) if "A" <= char <= "Z" else char for char in text)


def dated(row: Row, now: datetime) -> Row:
    stamps = ("created_at", "updated_at")
    return row | {n: None if row[n] is None else now + timedelta(seconds=row[n]) for n in stamps}


def insert(session: Session, table: list[Row]) -> None:
    sqlite = session.connection.dialect.name == "sqlite"
    if not table:
        return
    columns = [name for name in table[0] if name != "size_bytes"]
    # as text it has no fraction where there is none, which is how the pipeline writes it
    values = [{n: str(row[n]) if sqlite and isinstance(row[n], datetime) else row[n] for n in columns} for row in table]
    marks = ", ".join(f":{name}" for name in columns)
    statement = f"INSERT INTO data_pipeline_tasks ({', '.join(columns)}, parameters) VALUES ({marks}, '{{}}')"
    session.connection.execute(sa.text(statement), values)
    seen = {"first_seen_at": session.now.utc, "last_seen_at": session.now.utc, "sightings": 1, "signature": "-"}
    for row in table:
        if row["size_bytes"] is not None:
            counted = sweepd.inventory.insert().values(task_id=row["task_id"], size_bytes=row["size_bytes"], **seen)
            session.connection.execute(counted)


def test_a_place_of_another_order_is_none(catalog: Catalog, store: Store) -> None:
    store.add_task("task_1")
    with catalog.read() as session:
        for by, key in ((SortBy.SIZE, "2025-01-01"), (SortBy.CREATED, 5), (SortBy.TASK_ID, True)):
            listing = TaskList(session.tables, catalog.timeline, session.now, TaskFilter(), Order(by))
            with pytest.raises(NotAPlace):
                listing.page(session.connection, limit=1, after=Place(key, "task_1"))


@pytest.mark.parametrize("by", [SortBy.CREATED, SortBy.UPDATED])
@pytest.mark.parametrize("descending", [True, False])
def test_dates_that_cannot_be_read_come_last_and_no_page_ends_with_them(
    store: Store, by: SortBy, descending: bool
) -> None:
    catalog = make_catalog(store)
    dates: list[object] = [5, b"2024-01-01", "2024-01-01", "2024-01-02", 2460000.5, b"", None]
    if not store.sqlite:
        dates = ["infinity", "20000-01-01", "2024-01-01", "2024-01-02", "-infinity", "0044-03-15 BC", None]
    for number, date in enumerate(dates):
        store.add_task(f"t_{number}", created_at=date, updated_at=date)
    with catalog.read() as session:
        order = Order(by, descending)
        listing = TaskList(session.tables, catalog.timeline, session.now, TaskFilter(), order)
        found = list(walk(listing, session, 1))
    assert found[:2] == (["t_3", "t_2"] if descending else ["t_2", "t_3"])
    assert found[2:] == sorted(["t_0", "t_1", "t_4", "t_5", "t_6"], reverse=descending)
    with catalog.read() as session:
        wanted = TaskFilter(older_than=timedelta(days=30))
        listing = TaskList(session.tables, catalog.timeline, session.now, wanted, order)
        assert set(walk(listing, session, 2)) == {"t_2", "t_3"}
    catalog.close()


def test_a_list_works_without_names(prepared: Any) -> None:
    store = prepared.postgresql(task_name=False)
    catalog = make_catalog(store)
    store.add_task("task_1")
    with catalog.read() as session:
        listing = TaskList(session.tables, catalog.timeline, session.now, TaskFilter(text="K_1"), Order())
        assert [row.task_id for row in listing.page(session.connection, limit=1).tasks] == ["task_1"]
    catalog.close()
    prepared.give_back(store)
