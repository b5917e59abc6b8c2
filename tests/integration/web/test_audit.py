"""``GET /api/v0/deletions``: the audit trail, by pages and as a file."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
from typing import Any

import aiohttp
import pytest

from daemon.catalog.catalog import Catalog
from daemon.deletion import audit_trail
from daemon.errors import CatalogUnavailable
from daemon.policy.models import Policy, PolicySet
from daemon.web import cursors
from integration.web.installation import Api, Installation

DELETIONS = "/api/v0/deletions"


async def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = await api.ask("GET", DELETIONS + query)
    assert answer.status == 200
    found = answer.body["data"]["deletions"]
    assert isinstance(found, list)
    return found


async def exported(api: Api, query: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
    async with api.session.get(api.base + DELETIONS + query, headers=headers) as response:
        return response, await response.text()


def journal(installation: Installation, count: int, **columns: object) -> None:
    """So many deletions, one every second, three at a time."""
    rows = []
    for number in range(count):
        values: dict[str, Any] = {
            "deletion_id": f"{number:028x}",
            "task_id": f"task_{number}",
            "state": "purged",
            "what": "directory",
            "trigger": "sweep",
            "initiator": "policy:old",
            "policy": "old",
            "sweep_id": f"{number % 2:028x}",
            "forced": 0,
            "directory_deleted": 1,
            "records_deleted": 0,
            "committed_at": f"2026-01-01 {number // 10800:02}:{number // 180 % 60:02}:{number // 3 % 60:02}.000000",
            "files": number,
            **columns,
        }
        values |= dict.fromkeys(("directories", "size_bytes", "freed_bytes"), 0)
        rows.append(tuple(values.values()))
    names, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" for _ in values)
    with installation.sql() as connection:
        connection.executemany(f"INSERT INTO sweepd_deletions ({names}) VALUES ({marks})", rows)


async def test_who_why_and_from_where(api: Api, installation: Installation) -> None:
    installation.fifteen("task_1")
    answer = await api.delete("task_1", reason=" wrong labels ", retain="7d")
    [entry] = await listed(api)
    assert list(entry) == list(audit_trail.COLUMNS)
    expected = {
        "task_id": "task_1",
        "deletion_id": answer.body["data"]["deletion_id"],
        "what": "directory",
        "state": "committed",
        "trigger": "api",
        "initiator": "api:127.0.0.1",
        "client": "127.0.0.1",
        "request_id": answer.headers["X-Request-Id"],
        "reason": "wrong labels",
        "policy": None,
        "sweep_id": None,
        "plan_digest": None,
        "files": 15,
        "size_bytes": 2_500_000,
        "freed_bytes": 0,  # it waits in the trash
        "retained_until": answer.body["data"]["retained_until"],
        "restored_by": None,
    }
    assert {name: entry[name] for name in expected} == expected
    assert (await api.ask("POST", "/api/v0/data_pipeline/tasks/task_1/restore")).status == 200
    [entry] = await listed(api)
    assert (entry["state"], entry["restored_by"], entry["finished_at"]) == ("restored", "api:127.0.0.1", None)
    assert entry["restored_at"] is not None


async def test_a_batch_and_a_sweep_say_why(api: Api, installation: Installation) -> None:
    installation.task("task_1", 10)
    installation.task("task_2", 10, status="failed")
    await api.batch("task_1", reason="tidying up")
    policy = {"name": "old", "mode": "enforce", "match": {"status": "failed"}, "action": {"delete": "directory"}}
    installation.policies = PolicySet(policies=(Policy.model_validate(policy),))
    swept = await api.ask("POST", "/api/v0/policies/old/sweeps", json={"confirm": True})
    by_sweep, by_hand = await listed(api)
    assert by_hand["reason"] == "tidying up"
    expected = {
        "task_id": "task_2",
        "trigger": "sweep",
        "initiator": "api:127.0.0.1",
        "policy": "old",
        "sweep_id": swept.body["data"]["sweep_id"],
        "plan_digest": swept.body["data"]["plan_digest"],
        "reason": "status failed",
        "client": "127.0.0.1",
        "request_id": swept.headers["X-Request-Id"],
    }
    assert {name: by_sweep[name] for name in expected} == expected


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 501, 5])
async def test_a_reason_is_one_line(api: Api, installation: Installation, reason: object) -> None:
    installation.task("task_1", 10)
    for answer in (await api.delete("task_1", reason=reason), await api.batch("task_1", reason=reason)):
        assert (answer.status, answer.body["data"]) == (400, {"parameter": "reason"})
    assert installation.journal() == []


async def test_pages(api: Api, installation: Installation) -> None:
    journal(installation, 11)
    pages, cursor = [], ""
    while True:
        data = (await api.ask("GET", f"{DELETIONS}?limit=4{cursor}")).body["data"]
        pages.append([int(entry["deletion_id"], 16) for entry in data["deletions"]])
        if data["next_cursor"] is None:
            break
        cursor = f"&cursor={data['next_cursor']}"
        with installation.sql() as connection:  # a newer one is in nobody's way
            connection.execute(
                "UPDATE sweepd_deletions SET committed_at = '2027-01-01 00:00:00.000000' WHERE deletion_id = ?",
                (f"{10:028x}",),
            )
    assert pages == [[10, 9, 8, 7], [6, 5, 4, 3], [2, 1, 0]]


async def test_filters(api: Api, installation: Installation) -> None:
    journal(installation, 6)
    installation.task("task_x", 10)
    await api.delete("task_x")
    for query, expected in {
        "task_id=task_3": ["task_3"],
        "task_id=task_%3F&until=2026-01-01T00:00:01": ["task_2", "task_1", "task_0"],
        "task_id=*x": ["task_x"],
        "policy=old&since=2026-01-01T00:00:01%2B00:00&limit=2": ["task_5", "task_4"],
        f"sweep_id={1:028x}": ["task_5", "task_3", "task_1"],
        "initiator=api:127.0.0.1": ["task_x"],
        "trigger=api": ["task_x"],
        "state=purged&limit=1": ["task_x"],
        "state=restored": [],
    }.items():
        assert [entry["task_id"] for entry in await listed(api, "?" + query)] == expected, query


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=WzEsMl0", "cursor"),
        ("cursor=" + cursors.encode(["0001-01-01T00:00:00+14:00", "0"]), "cursor"),
        ("cursor=" + cursors.encode(["2026-01-01T00:00:00+00:00", "0", "0"]), "cursor"),
        ("trigger=nobody", "trigger"),
        ("state=gone", "state"),
        ("since=yesterday", "since"),
        ("task_id=a%20b", "task_id"),
        ("policy=a%00", "policy"),
        ("format=xlsx", "format"),
        ("format=csv&limit=5", "limit"),
        ("format=ndjson&cursor=x", "cursor"),
    ],
)
async def test_wrong_values(api: Api, query: str, parameter: str) -> None:
    answer = await api.ask("GET", f"{DELETIONS}?{query}")
    assert (answer.status, answer.body["data"]) == (400, {"parameter": parameter})


async def test_csv_has_all_of_them_and_no_formula(api: Api, installation: Installation) -> None:
    journal(installation, 2500, reason='=HYPERLINK("http://x"), 中文', error="-1+1\nmore", client="@SUM(1)")
    response, text = await exported(api, "?policy=old", Accept="text/csv")
    assert response.headers["Content-Type"].startswith("text/csv; charset=utf-8")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="sweepd-deletions-20')
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [int(row["files"]) for row in rows] == list(range(2499, -1, -1))
    assert rows[0]["reason"] == '\'=HYPERLINK("http://x"), 中文'
    assert (rows[0]["error"], rows[0]["client"]) == ("'-1+1\nmore", "'@SUM(1)")
    assert (rows[0]["forced"], rows[0]["restored_by"]) == ("false", "")
    assert list(rows[0]) == list(audit_trail.COLUMNS)


async def test_lines_of_json(api: Api, installation: Installation) -> None:
    journal(installation, 1001)
    response, text = await exported(api, "?format=ndjson")
    assert response.headers["Content-Type"].startswith("application/x-ndjson")
    entries = [json.loads(line) for line in text.splitlines()]
    assert [entry["files"] for entry in entries] == list(range(1000, -1, -1))
    assert entries[:3] == await listed(api, "?limit=3")


async def test_an_empty_file_has_its_head(api: Api) -> None:
    assert (await exported(api, "?format=csv"))[1] == ",".join(audit_trail.COLUMNS) + "\r\n"
    assert (await exported(api, "?format=ndjson"))[1] == ""
    async with api.session.head(f"{api.base}{DELETIONS}?format=csv") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/csv")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/html, application/xhtml+xml", "application/json"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv, application/json;q=0.5", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        ("Application/X-NDJSON", "application/x-ndjson"),
        ("text/csv;q=nonsense", "application/json"),
    ],
)
async def test_the_form_a_client_likes_best(api: Api, accept: str, kind: str) -> None:
    response, _ = await exported(api, "", Accept=accept)
    assert response.content_type == kind


async def test_a_file_that_is_cut_off_is_not_taken_for_a_whole_one(
    api: Api, installation: Installation, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    """The database goes away after the first page."""
    journal(installation, 1500)
    asked = threading.Semaphore(1)
    read = audit_trail.page

    def page(catalog: Catalog, *rest: Any, **options: Any) -> Any:
        if not asked.acquire(blocking=False):
            raise CatalogUnavailable("it went away")
        return read(catalog, *rest, **options)

    monkeypatch.setattr(audit_trail, "page", page)
    with pytest.raises(aiohttp.ClientError):
        await exported(api, "?format=csv")
    assert [(event["event"], event["reason"]) for event in events if event["log_level"] == "error"] == [
        ("export_cut_off", "it went away")
    ]


async def test_a_client_that_goes_away_harms_nobody(api: Api, installation: Installation) -> None:
    journal(installation, 3000)
    async with api.session.get(f"{api.base}{DELETIONS}?format=csv") as response:
        await response.content.read(10)
        response.close()
    await asyncio.sleep(0.1)
    assert len(await listed(api, "?limit=1000")) == 1000
