"""Makes the sample: some 200 task directories with rows, orphans, a running task, a protected one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from daemon import clock
from daemon.app.initialise import initialise
from daemon.catalog.database import Database
from daemon.catalog.sample import insert_tasks
from daemon.config import Config, load_config
from daemon.storage import sample

TASKS = 200
ORPHANS = 5
_DATABASES = ("sales", "finance", "support")
_USERS = ("wang", "li", "chen", None)
_SEED = 20250702  # the same sample every time


@dataclass(frozen=True, slots=True)
class Workspace:
    """A finished sample. ``size_bytes``: apparent bytes of all task directories."""

    config: Config
    tasks: int
    orphans: int
    files: int
    size_bytes: int


def create(folder: Path, port: int) -> Workspace:
    """Make the sample in ``folder``, which is ``sample.owned``, replacing an earlier one. Raises OSError."""
    sample.clear(folder, ("var", "data_pipeline", "policies"))
    template = files("daemon.demo").joinpath("templates")
    (folder / "policies").mkdir()
    (folder / "config.yaml").write_text(
        template.joinpath("config.yaml").read_text(encoding="utf-8").replace("8084", str(port)), encoding="utf-8"
    )
    (folder / "policies" / "demo.yaml").write_text(
        template.joinpath("policy.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    config = load_config(folder / "config.yaml")
    initialise(config)

    chance = random.Random(_SEED)  # noqa: S311  # a sample, not a secret
    rows, steps = list(_tasks(chance, clock.now().replace(tzinfo=None, microsecond=0))), []
    count = size = 0
    for row in rows:
        added = _fill(chance, config.storage.root / row["task_id"])
        count, size = count + added[0], size + added[1]
    for row in rows[:2]:
        steps.append(
            {"task_id": row["task_id"], "execution_id": "e1", "step_name": "qa_generation", "step_status": "running"}
        )
    for number in range(ORPHANS):
        added = _fill(chance, config.storage.root / f"manual_20250101_{number:06}")
        count, size = count + added[0], size + added[1]
    database = Database(config.catalog.url.get_secret_value())
    try:
        insert_tasks(database, rows, steps)
    finally:
        database.close()
    return Workspace(config, len(rows), ORPHANS, count, size)


def _tasks(chance: random.Random, now: datetime) -> Iterator[dict[str, Any]]:
    for number in range(TASKS):
        created = now - timedelta(days=chance.uniform(0, 120), seconds=number)
        status = chance.choices(("completed", "failed", "partial_completed", "pending"), (70, 15, 5, 10))[0]
        name = f"training data {number}"
        if number == 0:
            status, name = "in_progress", "nightly run, still working"
        elif number == 1:
            status, name = "completed", "finished, but one step runs again"
        elif number == 2:
            status, name, created = "completed", "golden-baseline", now - timedelta(days=100)
        finished = created + timedelta(minutes=chance.uniform(1, 90)) if status in ("completed", "failed") else None
        yield {
            "task_id": f"task_{created:%Y%m%d_%H%M%S}",
            "task_name": name,
            "task_type": "data_workflow",
            "status": status,
            "parameters": {"db_connection": "postgresql://demo:not-a-secret@localhost/demo"},
            "created_at": created,
            "started_at": created,
            "completed_at": min(finished, now) if finished else None,
            "created_type": "api",
            "by_user": chance.choice(_USERS),
            "db_name": chance.choice(_DATABASES),
        }


def _fill(chance: random.Random, directory: Path) -> tuple[int, int]:
    """Write the files of one task directory; how many, and their bytes."""
    names = [f"{kind}/part-{index:03}.json" for kind in ("ddl", "docs", "qa") for index in range(chance.randint(1, 6))]
    size = 0
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = chance.randbytes(int(chance.paretovariate(1.2) * 2000) % 200_000)
        path.write_bytes(content)
        size += len(content)
    return len(names), size
