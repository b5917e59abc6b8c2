"""`sweepd init` where there is nothing yet, and where there is something."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.app.samples import write_samples
from daemon.cli import commands_of_sweepd
from daemon.cli.exits import Exit, guarded
from daemon.config import load_config
from daemon.policy.loader import load_policies
from daemon.policy.models import Mode


def init(config: Path) -> int:
    return guarded(commands_of_sweepd(), ["--config", str(config), "init"])


def test_an_empty_folder_gets_a_configuration_and_policies_that_only_observe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    assert init(config) == Exit.OK
    assert f"wrote {config}\n" in capsys.readouterr().out
    loaded = load_config(config)
    assert loaded.storage.root.is_dir()
    found = load_policies(loaded.policies, statuses=loaded.catalog.statuses).policies
    assert found
    assert {policy.mode for policy in found} == {Mode.OBSERVE}
    assert init(config) == Exit.OK
    assert capsys.readouterr().out == "everything was ready, nothing was changed\n"


@pytest.mark.parametrize("other", ["confg.yaml", "policies/mine.yaml"])
def test_where_there_are_other_files_a_name_that_is_wrong_creates_nothing(
    tmp_path: Path, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).write_text("version: 1\n", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    assert init(tmp_path / "config.yaml") == Exit.DOCUMENT
    assert "the file cannot be read" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_cut_off_is_completed_and_what_was_changed_stays(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    write_samples(config)
    config.unlink()
    changed = tmp_path / "policies" / "00-protect.yaml"
    changed.write_text("version: 1\n", encoding="utf-8")
    assert write_samples(config) == [f"wrote {config}"]
    assert changed.read_text(encoding="utf-8") == "version: 1\n"
    assert write_samples(config) == []
