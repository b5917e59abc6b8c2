"""Probes and metrics, while everything is fine and while it is not."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from daemon.config import ServerConfig
from daemon.tokens import Scope, TokenEntry, hash_of
from daemon.web.addresses import TASKS
from integration.web.installation import Api, Installation, serving

TASK = "task_20250702_173932"
FINE = {"ready": True, "problem": None}


def value(metrics: bytes, name: str) -> float:
    [line] = [line for line in metrics.decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split(" ")[1])


async def test_alive(api: Api) -> None:
    answer = await api.ask("GET", "/livez")
    assert answer.status == 200
    assert answer.body == {"success": True, "code": 200, "message": "服务存活", "data": {}}
    assert (await api.ask("HEAD", "/livez")).status == 200


async def test_ready(api: Api) -> None:
    answer = await api.ask("GET", "/readyz")
    assert answer.status == 200
    assert answer.body["data"] == {
        "checks": {"catalog": FINE, "storage_root": FINE, "recovery": FINE, "scheduler": FINE}
    }
    assert api.context.metrics.registry.get_sample_value("sweepd_ready") == 1
    api.problems["catalog"] = "away"
    assert value((await api.ask("GET", "/metrics")).raw, "sweepd_ready") == 0


async def test_not_ready(api: Api) -> None:
    api.problems["scheduler"] = "no policy could be loaded"
    answer = await api.ask("GET", "/readyz", headers={"Accept-Language": "en"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.bare == {
        "success": False,
        "code": 503,
        "message": "Not ready",
        "error_code": "NOT_READY",
        "data": {
            "checks": {
                "catalog": FINE,
                "storage_root": FINE,
                "recovery": FINE,
                "scheduler": {"ready": False, "problem": "no policy could be loaded"},
            }
        },
    }
    assert api.context.metrics.registry.get_sample_value("sweepd_ready") == 0
    assert (await api.ask("GET", "/livez")).status == 200
    assert (await api.listing()).status == 200


async def test_metrics_count_deletions(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    await api.delete(TASK)
    answer = await api.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == api.context.metrics.content_type
    assert value(answer.raw, 'sweepd_deletions_total{outcome="success",trigger="api"}') == 1
    assert value(answer.raw, 'sweepd_deleted_files_total{trigger="api"}') == 1


async def test_no_work_before_recovery(api: Api, installation: Installation) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    api.problems["recovery"] = "3 entries are being settled"
    for answer in (await api.delete(TASK), await api.batch(TASK), await api.listing()):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert answer.bare == {
            "success": False,
            "code": 503,
            "message": "服务正在恢复未完成的删除,请稍后重试",
            "error_code": "STARTING",
            "data": {"component": "recovery", "reason": "3 entries are being settled"},
        }
    assert installation.everything() == before
    assert (await api.ask("GET", "/livez")).status == 200
    assert (await api.ask("GET", "/metrics")).status == 200
    api.problems["recovery"] = None
    assert (await api.delete(TASK)).status == 200


@pytest.mark.parametrize("component", ["catalog", "storage_root", "scheduler"])
async def test_other_problems_do_not_stop_the_api(api: Api, installation: Installation, component: str) -> None:
    installation.task(TASK, 10)
    api.problems[component] = "a problem"
    assert (await api.delete(TASK)).status == 200


async def test_health_and_lists_while_every_deletion_worker_is_blocked(installation: Installation) -> None:
    """Somebody else's write transaction holds up both workers; a third deletion waits for a worker."""
    task_ids = [f"task_{number}" for number in range(3)]
    for task_id in task_ids:
        installation.task(task_id, 10)
    async with serving(installation, threads=2) as api:
        with contextlib.closing(sqlite3.connect(installation.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            deletions = [asyncio.create_task(api.delete(task_id)) for task_id in task_ids]
            await asyncio.sleep(0.2)
            async with asyncio.timeout(8):  # less than the deletions wait for the database
                for path in ("/livez", "/readyz", "/metrics", TASKS):
                    assert (await api.ask("GET", path)).status == 200
            assert not [deletion for deletion in deletions if deletion.done()]
            other.execute("COMMIT")
        assert [answer.status for answer in await asyncio.gather(*deletions)] == [200] * 3
    assert installation.tree() == set()


async def test_what_is_wrong_is_told_to_those_who_may_read(installation: Installation) -> None:
    """Where tokens are set: it names the database's user, host and port."""
    secret = "sweepd_of_sixteen_or_more"
    tokens = tuple(
        TokenEntry(name=scope, hash=hash_of(f"{scope}{secret}".encode()), scopes=(scope,), expires=None)
        for scope in (Scope.READ, Scope.DELETE)
    )
    async with serving(installation, server=ServerConfig(tokens=tokens)) as api:
        api.problems |= {
            "catalog": "the database postgresql://sweepd@db1:5432/pipeline is away",
            "recovery": "starting",
        }
        for headers, told in (
            ({}, False),
            ({"Authorization": "Bearer nonsense"}, False),
            ({"Authorization": f"Bearer delete{secret}"}, False),
            ({"Authorization": f"Bearer read{secret}"}, True),
        ):
            answer = await api.ask("GET", "/readyz", headers=headers)
            checks = answer.body["data"]["checks"]
            assert (answer.status, checks["catalog"]["ready"], checks["storage_root"]["ready"]) == (503, False, True)
            assert ("db1" in str(answer.body)) is told
            assert checks["recovery"]["problem"] == "starting"
            assert (await api.ask("GET", "/livez", headers=headers)).status == 200
