"""The trail of refused requests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.catalog import refusals
from daemon.config import ServerConfig
from daemon.web import refusals as trail
from daemon.web.addresses import REFUSALS, TASKS
from integration.web.installation import Answer, Api, Installation, serving
from integration.web.test_tokens import ENTRIES, SECRETS, bearer

TASK = "task_20250702_173932"


async def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.ask("GET", REFUSALS + query, headers=bearer("admin"))
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.body["data"]["refusals"]
    return found


async def test_every_kind_of_refusal_is_written_down(installation: Installation) -> None:
    async with serving(installation, server=ServerConfig(tokens=ENTRIES)) as api:
        asked: list[tuple[Answer, str, str | None]] = []
        for headers, code, token in (
            ({"Host": "evil.example"}, "HOST_NOT_ALLOWED", None),
            ({"Origin": "http://evil.example"}, "ORIGIN_NOT_ALLOWED", None),
            ({}, "UNAUTHORIZED", None),
            (bearer("expired"), "TOKEN_EXPIRED", "expired"),
            (bearer("read"), "INSUFFICIENT_SCOPE", "read"),
        ):
            asked.append((await api.ask("DELETE", f"{TASKS}/{TASK}?x=secret", headers=headers), code, token))
        found = await listed(api)
        assert await listed(api, "?limit=1") == found[:1], "the newest first"
        assert [(one["error_code"], one["token"], one["request_id"]) for one in found] == [
            (code, token, answer.headers["X-Request-Id"]) for answer, code, token in reversed(asked)
        ]
        for one in found:
            assert (one["method"], one["path"]) == ("DELETE", f"{TASKS}/{TASK}")
            assert (one["address"], one["count"]) == ("127.0.0.1", 1)
        text = (await api.ask("GET", "/metrics", headers=bearer("read"))).raw.decode()
        assert 'sweepd_requests_refused_total{error_code="UNAUTHORIZED"} 1.0' in text
        assert not any(secret in str(found) for secret in SECRETS.values())
        bad = await api.ask("GET", REFUSALS + "?limit=0", headers=bearer("admin"))
        assert (bad.status, bad.body["error_code"]) == (400, "INVALID_PARAMETER")


async def test_what_is_refused_for_another_reason_is_not_in_it(api: Api) -> None:
    assert (await api.ask("GET", "/nowhere")).status == 404
    assert (await api.ask("DELETE", f"{TASKS}/{TASK}")).status == 400
    assert (await api.ask("GET", REFUSALS)).body["data"]["refusals"] == []


async def test_a_flood_costs_a_bounded_number_of_rows(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "_MOST_KEYS", 5)
    server = ServerConfig(tokens=ENTRIES, trusted_proxies=("127.0.0.1",))
    async with serving(installation, server=server) as api:
        for number in range(40):
            await api.ask("GET", TASKS, headers={"X-Forwarded-For": f"10.0.0.{number % 20}"})
        found = await listed(api)
    assert sum(one["count"] for one in found) == 40
    assert len(found) <= 2 * 6, "5 addresses and the others, in a minute or two"
    assert "others" in {one["address"] for one in found}


async def test_it_is_written_within_seconds_and_old_rows_are_forgotten(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    # One for the start, four of one minute, one of the next: whatever the time of the test.
    seconds = iter((0, 10, 20, 30, 40, 70))
    monkeypatch.setattr(trail, "clock", SimpleNamespace(now=lambda: noon + timedelta(seconds=next(seconds))))
    monkeypatch.setattr(refusals, "KEPT", 2)
    monkeypatch.setattr(trail, "_PRUNE_EVERY", 1)
    monkeypatch.setattr(trail, "_WRITE_EVERY_S", 0.05)

    def written() -> list[tuple[str, int]]:
        with installation.sql() as connection:
            rows = connection.execute("SELECT error_code, count FROM sweepd_refusals ORDER BY last_at")
            return [tuple(row) for row in rows]

    async with serving(installation) as api:
        for number in range(5):
            await api.ask("GET", TASKS, headers={"Origin": "null"} if number % 2 else {"Host": f"evil{number}.example"})
        async with asyncio.timeout(20):
            while await asyncio.to_thread(written) != [("ORIGIN_NOT_ALLOWED", 2), ("HOST_NOT_ALLOWED", 1)]:
                await asyncio.sleep(0.05)


async def test_a_database_that_is_away_disturbs_no_answer_and_loses_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    monkeypatch.setattr(trail, "_WRITE_EVERY_S", 0.05)
    async with serving(installation) as api:
        hidden = installation.database.with_name("hidden")
        await asyncio.to_thread(api.context.catalog.close)
        installation.database.rename(hidden)
        for _ in range(3):
            answer = await api.ask("GET", TASKS, headers={"Host": "evil.example"})
            assert (answer.status, answer.body["error_code"]) == (403, "HOST_NOT_ALLOWED")
            await asyncio.sleep(0.2)
        assert len([event for event in events if event["event"] == "refusals_not_written"]) == 1
        hidden.rename(installation.database)
        found = (await api.ask("GET", REFUSALS)).body["data"]["refusals"]
    assert sum(one["count"] for one in found) == 3
