"""What a package holds beside the code, and that it is what the code says now."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from daemon.cli import commands_of_sweepd
from daemon.cli.manual import manual
from daemon.policy.loader import load_policies

REPOSITORY = Path(__file__).parents[2]
PACKAGING = REPOSITORY / "packaging"
RENEW = "run: make package"


def test_the_manual_page_is_what_the_commands_say() -> None:
    assert (PACKAGING / "sweepd.1").read_text(encoding="utf-8") == manual(commands_of_sweepd()), RENEW


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff to read it")
def test_the_manual_page_is_well_formed() -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(PACKAGING / "sweepd.1")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completions_are_those_of_the_command(shell: str) -> None:
    made = sweepd({"_SWEEPD_COMPLETE": f"source_{shell}"}).lstrip("\n")
    assert (PACKAGING / "completions" / f"sweepd.{shell}").read_text(encoding="utf-8") == made, RENEW


def test_bash_completes_a_command() -> None:
    asked = {"_SWEEPD_COMPLETE": "complete_bash", "COMP_WORDS": "sweepd rel", "COMP_CWORD": "1"}
    assert sweepd(asked).split() == ["release", "reload"]


def test_the_wheel_holds_all_that_an_installation_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        opened.extractall(tmp_path / "wheel")
    code = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "daemon").rglob("*") if path.is_file()}
    assert {name for name in code if "__pycache__" not in name} <= set(names)
    (share,) = (tmp_path / "wheel").glob("*.data/data/share")
    statuses = ("pending", "in_progress", "partial_completed", "completed", "failed")
    assert load_policies(share / "sweepd" / "policies", statuses=statuses).policies
    for name in ("man/man1/sweepd.1", "sweepd/config.yaml", "sweepd/systemd/sweepd.service"):
        assert (share / name).is_file()
    assert (share / "zsh/site-functions/_sweepd").read_text().startswith("#compdef sweepd\n")


def sweepd(variables: dict[str, str]) -> str:
    command = [str(Path(sys.executable).with_name("sweepd"))]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True).stdout
