"""Statements that go to the database in one message do what they do one by one, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from daemon.catalog.database import Database
from daemon.catalog.tables import holds
from daemon.catalog.together import Step, together
from daemon.errors import TaskRefused
from support.site import Site

_IDS = sa.bindparam("ids", type_=sa.String, expanding=True)
_INSERT = holds.insert()
_RELEASE = holds.update().where(holds.c.hold_id.in_(_IDS)).values(released_by="50% :of ::it", released_at=None)
_READ = (
    sa.select(holds.c.hold_id.label("name"), holds.c.released_by, holds.c.placed_at, sa.literal("a:b").label("text"))
    .where(holds.c.hold_id.in_(_IDS), holds.c.owner == sa.bindparam("owner"))
    .order_by(holds.c.hold_id)
)
_BACK = holds.delete().where(holds.c.hold_id.in_(_IDS)).returning(holds.c.hold_id)
AT = datetime(2026, 11, 25, 9, 30, tzinfo=timezone(timedelta(hours=8)))


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"hold_id": f"{number:028}", "pattern": "%(x)s", "owner": "o'b", "reason": ":r", "placed_at": AT, **more}


@pytest.fixture
def database(site: Site) -> Database:
    return site.catalog.database


def messages(connection: Connection) -> list[str]:
    sent: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda _c, _cursor, text, *_: sent.append(text))
    return sent


def test_each_has_its_own_parameters_and_sees_what_those_before_it_did(database: Database) -> None:
    ids = [f"{number:028}" for number in (1, 2, 9)]
    with database.write() as connection:
        sent = messages(connection)
        steps: list[Step] = [(_INSERT, row(1)), (_INSERT, row(2)), (_RELEASE, {"ids": ids[1:]})]
        found = together(connection, [*steps, (_READ, {"ids": ids, "owner": "o'b"})]).all()
        assert [(one.name, one.released_by, one.placed_at, one.text) for one in found] == [
            (ids[0], None, AT, "a:b"),
            (ids[1], "50% :of ::it", AT, "a:b"),
        ]
        assert {one.placed_at.tzinfo for one in found} == {UTC}
        assert len(sent) == (4 if database.is_sqlite else 1)
        assert together(connection, [(_READ, {"ids": [], "owner": ""})]).all() == []
    with database.read() as connection:
        assert connection.execute(sa.select(holds.c.pattern, holds.c.reason)).all() == [("%(x)s", ":r")] * 2


def test_columns_may_differ_from_one_time_to_the_next(database: Database) -> None:
    with database.write() as connection:
        values: list[dict[str, Any]] = [{}, {"expires_at": AT}, {"released_by": "x", "expires_at": None}]
        for number, more in enumerate(values):
            together(connection, [(_BACK, {"ids": ["none"]}), (_INSERT, row(number, **more))])
        back = together(connection, [(_INSERT, row(7)), (_BACK, {"ids": [f"{n:028}" for n in (1, 7)]})])
        assert sorted(back.scalars()) == [f"{n:028}" for n in (1, 7)]


def test_if_one_fails_none_of_them_has_happened(database: Database) -> None:
    with pytest.raises(TaskRefused, match="refuses it"), database.write() as connection:
        together(connection, [(_INSERT, row(1)), (_INSERT, row(1)), (_READ, {"ids": [], "owner": ""})])
    with database.read() as connection:
        assert connection.execute(sa.select(holds)).all() == []
