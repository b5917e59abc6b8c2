"""The trail of refused requests, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from daemon.catalog import refusals
from daemon.catalog.refusals import Refusal
from support.site import make_catalog
from support.stores import Store

AT = datetime(2026, 11, 25, 3, 7, 30, tzinfo=UTC)
ONE = Refusal(
    minute=AT.replace(second=0),
    address="10.0.0.1",
    error_code="UNAUTHORIZED",
    token="",
    first_at=AT,
    last_at=AT,
    method="GET",
    path="/metrics",
    request_id="a" * 32,
    count=2,
)


def test_what_is_of_one_minute_adds_up_and_the_newest_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    later = replace(ONE, last_at=AT + timedelta(seconds=9), path="/later", request_id="b" * 32, count=3)
    others = [
        replace(ONE, token="ci", last_at=AT + timedelta(seconds=5)),
        replace(ONE, minute=ONE.minute - timedelta(minutes=1), last_at=AT - timedelta(minutes=1)),
    ]
    catalog = make_catalog(store)
    with catalog.write() as session:
        refusals.add(session.connection, [ONE, *others])
    with catalog.write() as session:
        refusals.add(session.connection, [later])
    both = replace(later, count=5)
    with catalog.read() as session:
        assert refusals.newest(session.connection, 10) == [both, *others]
        assert refusals.newest(session.connection, 1) == [both]
    monkeypatch.setattr(refusals, "KEPT", 2)
    with catalog.write() as session:
        refusals.forget_old(session.connection)
        assert refusals.newest(session.connection, 10) == [both, others[0]]
    catalog.close()
