"""``GET /api/v0/inventory``."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from daemon.config import ServerConfig
from daemon.deletion.doubt import tasks_in_doubt
from daemon.inventory.scan import Scanner
from daemon.storage.root import StorageRoot
from daemon.storage.workers import Workers
from daemon.web.addresses import INVENTORY
from integration.web.installation import Api, Installation, serving

LONG_AGO = {"created_at": "2020-01-01 00:00:00", "updated_at": "2020-01-01 00:00:00"}


def scan(api: Api, installation: Installation) -> None:
    context = api.context
    root = StorageRoot(installation.root, context.catalog.root_id)
    Scanner(
        root, context.catalog, Workers(0), context.metrics, recount=timedelta(days=7), in_doubt=tasks_in_doubt
    ).scan()


async def scanned(api: Api, installation: Installation) -> None:
    installation.task("task_1", 1000, 500, by_user="li", db_name="sales", **LONG_AGO)
    installation.task("task_2", 3000, status="failed", db_name="sales", **LONG_AGO)
    installation.row("task_missing", by_user="li", **LONG_AGO)
    installation.files("task_orphan", 70, 30)
    await asyncio.to_thread(scan, api, installation)


async def test_nothing_is_claimed_before_the_first_scan(api: Api, installation: Installation) -> None:
    installation.row("task_1")
    data = (await api.ask("GET", INVENTORY)).body["data"]
    assert (data["scan"], data["drift"], data["total"]["directories"]) == (None, None, 0)
    data = (await api.ask("GET", INVENTORY + "?drift=missing")).body["data"]
    assert data == {"scan": None, "total": None, "tasks": []}


async def test_totals_groups_and_the_largest(api: Api, installation: Installation) -> None:
    await scanned(api, installation)
    before = installation.everything()
    answer = await api.ask("GET", INVENTORY + "?limit=2", headers={"Accept-Language": "en"})
    assert answer.body["message"] == "Inventory listed"
    data = answer.body["data"]
    sums = {"uncounted": 0, "freed_bytes": 0}  # the files are sparse
    assert data["total"] == {"directories": 3, "files": 5, "size_bytes": 4600, **sums}
    assert {(one["status"], one["has_row"]): one["size_bytes"] for one in data["by_status"]} == {
        ("completed", True): 1500,
        ("failed", True): 3000,
        (None, False): 100,
    }
    assert {(one["user"], one["has_row"]): one["files"] for one in data["by_user"]} == {
        ("li", True): 2,
        (None, True): 1,
        (None, False): 2,
    }
    assert {one["database"]: one["directories"] for one in data["by_database"]} == {"sales": 2, None: 1}
    assert [one["task_id"] for one in data["largest"]] == ["task_1", "task_2"]
    assert data["drift"] == {"orphans": 1, "missing": 1, "returned": 0}
    assert (data["scan"]["directories"], data["scan"]["orphans"], data["scan"]["missing"]) == (3, 1, 1)
    assert installation.everything() == before


async def test_the_lists_of_drift(api: Api, installation: Installation) -> None:
    await scanned(api, installation)
    installation.files("task_later", 5)  # not met yet
    orphans = (await api.ask("GET", INVENTORY + "?drift=orphans")).body["data"]
    assert (orphans["total"], [one["task_id"] for one in orphans["tasks"]]) == (1, ["task_orphan"])
    assert (orphans["tasks"][0]["size_bytes"], orphans["tasks"][0]["sightings"]) == (100, 1)
    missing = (await api.ask("GET", INVENTORY + "?drift=missing&limit=5")).body["data"]
    assert [(one["task_id"], one["status"], one["user"]) for one in missing["tasks"]] == [
        ("task_missing", "completed", "li")
    ]
    none = (await api.ask("GET", INVENTORY + "?drift=missing&limit=0")).body["data"]
    assert (none["total"], none["tasks"]) == (1, [])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("drift=all", "drift"), ("drift=", "drift"), ("drift=orphans&drift=missing", "drift"), ("limit=1001", "limit")],
)
async def test_wrong_parameters(api: Api, query: str, parameter: str) -> None:
    answer = await api.ask("GET", f"{INVENTORY}?{query}")
    assert (answer.status, answer.body["error_code"]) == (400, "INVALID_PARAMETER")
    assert parameter in answer.body["message"]


async def test_it_needs_a_token_where_there_is_one(installation: Installation) -> None:
    server = ServerConfig.model_validate({"tokens": ["0123456789abcdef"]})
    async with serving(installation, server=server) as api:
        assert (await api.ask("GET", INVENTORY)).status == 401
        allowed = {"Authorization": "Bearer 0123456789abcdef"}
        assert (await api.ask("GET", INVENTORY, headers=allowed)).status == 200
        assert (await api.ask("POST", INVENTORY, headers=allowed)).status == 405
