"""The audit file of a real daemon: begun by a reload, over kill -9, with what the command line has deleted."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.daemons import Installation
from support.stores import Store
from support.trees import fill


def test_file_and_journal_agree_whoever_deletes_and_whatever_is_killed(
    installation: Installation, store: Store
) -> None:
    path = installation.folder / "audit.jsonl"
    plain = installation.config.read_text(encoding="utf-8")
    names = [f"task_{number}" for number in range(6)]
    for name in names:
        store.add_task(name, status="completed")
        fill(installation.root / name, 2)
    with installation.daemon() as daemon:
        assert daemon.delete(names[0]).status_code == 200
        assert not path.exists()
        installation.config.write_text(f"{plain}audit: {{file: {path.name}}}\n", encoding="utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_event("reloaded")
        assert daemon.delete(names[1], retain="7d").status_code == 200
        installation.run("delete", names[2], "--yes", "--reason", "by hand")
        _wait(lambda: path.exists() and {names[1], names[2]} <= {line["task_id"] for line in _whole(path)})
        assert daemon.delete(names[3]).status_code == 200
        daemon.kill()
    installation.run("delete", names[4], "--yes")
    with installation.daemon() as daemon:
        _wait(lambda: not store.query("SELECT 1 FROM sweepd_deletions WHERE audited <> state"))
        assert daemon.delete(names[5]).status_code == 200
        assert daemon.terminate() == 0
    lines = _whole(path)
    journal = store.query("SELECT deletion_id, state FROM sweepd_deletions WHERE task_id <> ?", [names[0]])
    told = [(line["deletion_id"], line["state"]) for line in lines]  # one that was seen in between has two lines
    assert len(told) == len(set(told)), "none twice"
    assert dict(told) == {row["deletion_id"]: row["state"] for row in journal}
    assert sorted({line["task_id"] for line in lines}) == names[1:]
    assert {line["reason"] for line in lines if line["task_id"] == names[2]} == {"by hand"}


def _whole(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]


def _wait(done: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)
