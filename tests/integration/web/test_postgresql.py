"""What only PostgreSQL minds: its text holds no NUL character, whatever a client sends."""

from __future__ import annotations

import pytest

from daemon.web.addresses import SWEEPS, TASKS
from integration.web.installation import Installation, serving
from support.postgres import create_pipeline_tables
from support.prepared import prepare


@pytest.fixture
def url(postgres_url: str) -> str:
    create_pipeline_tables(postgres_url)
    prepare(postgres_url)
    return postgres_url


async def test_a_nul_character_is_no_name_of_anything(installation: Installation, url: str) -> None:
    async with serving(installation, url=url) as api:
        sweep = await api.ask("GET", SWEEPS + "/a%00b")
        assert (sweep.status, sweep.body["error_code"]) == (404, "SWEEP_NOT_FOUND")
        listed = await api.ask("GET", SWEEPS + "?policy=a%00b")
        assert (listed.status, listed.body["error_code"]) == (400, "INVALID_PARAMETER")
        restored = await api.ask("POST", TASKS + "/task_1/restore", json={"deletion_id": "a\0b"})
        assert (restored.status, restored.body["error_code"]) == (404, "DELETION_NOT_FOUND")
        task = await api.ask("POST", TASKS + "/a%00b/restore")
        assert (task.status, task.body["error_code"]) == (400, "INVALID_TASK_ID")
