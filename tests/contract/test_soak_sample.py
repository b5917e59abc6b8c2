"""Some seconds of the soak; `make soak MINUTES=60` runs it for an hour."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from soak.__main__ import main
from soak.judge import judge, look
from soak.world import EITHER, GOES, STAYS, World
from support.postgres import create_pipeline_tables


@pytest.mark.timeout(300)
def test_a_sample_of_the_soak_finds_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--minutes", "0.1", "--seed", "1", "--kill-every", "3", "--outage-every", "4"])
    report = capsys.readouterr().out
    assert status == 0, report
    assert re.search(r"\| kills \| [1-9] \| 0 \|", report), report
    assert ", 1 outages" in report


def test_what_was_lost_or_left_is_found(postgres_url: str, tmp_path: Path) -> None:
    create_pipeline_tables(postgres_url)
    world = World("broken", tmp_path, postgres_url, 1, cold=False)
    made = {kind: world.make(kind, fate) for kind, fate in (("keep", STAYS), ("api", GOES), ("flip", EITHER))}
    made["fine"] = world.make("young", STAYS)
    for task in made.values():
        task.at -= 10
    (world.root / made["keep"].before.task_id / "file-0.json").unlink()
    world.store.query("DELETE FROM data_pipeline_tasks WHERE task_id = ?", [made["flip"].before.task_id])
    look(world)
    assert len(world.differences) == 2
    judge(world)
    names = [made[kind].before.task_id for kind in ("keep", "api", "flip")]
    assert [name in " ".join(world.differences[2:]) for name in names] == [True, True, True]
    assert made["fine"].before.task_id not in " ".join(world.differences)
