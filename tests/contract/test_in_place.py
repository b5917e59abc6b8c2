"""A deletion in place that is cut off: recovery goes on with it, unless the task has run again in that directory."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from daemon.deletion.recovery import Result
from daemon.storage import trash
from daemon.storage.standing import Standing
from support.site import Site, request


@pytest.fixture
def cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a task whose deletion in place is committed, and has removed nothing yet."""

    def full(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def interrupted(*_arguments: object, **_options: object) -> NoReturn:
        raise KeyboardInterrupt

    site.task("task_1", files=3)
    with monkeypatch.context() as patch:
        patch.setattr(trash, "new_entry", full)
        patch.setattr(Standing, "purge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            site.engine.delete(request("task_1"))
    return site.path / "task_1"


def test_recovery_goes_on_with_it(site: Site, cut_off: Path) -> None:
    assert cut_off.is_dir()
    assert site.recovery.run() == {Result.FINISHED: 1}
    assert not cut_off.exists()
    [deletion] = site.store.query("SELECT state, files FROM sweepd_deletions")
    assert (deletion["state"], deletion["files"]) == ("purged", 3)


@pytest.mark.parametrize("change", ["status = 'in_progress'", "completed_at = :now", "started_at = :now"])
def test_a_directory_in_which_the_task_has_run_again_is_left_alone(site: Site, cut_off: Path, change: str) -> None:
    (cut_off / "new").write_text("of the new run")
    now = f"{datetime.now(UTC) + timedelta(seconds=5):%Y-%m-%d %H:%M:%S}"
    wanted = [now] if ":now" in change else []
    site.store.query(
        f"UPDATE data_pipeline_tasks SET {change.replace(':now', '?')} WHERE task_id = 'task_1'",
        wanted,
    )
    site.recovery.run()
    assert (cut_off / "new").read_text() == "of the new run"
    [deletion] = site.store.query("SELECT state FROM sweepd_deletions")
    assert deletion["state"] == "purged"
    assert site.recovery.run() == {}
