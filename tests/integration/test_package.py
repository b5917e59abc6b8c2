"""What a package holds beside the code, and that it is what the code says now."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from daemon.cli import commands_of_sweepd
from daemon.cli.manual import manual
from daemon.policy.loader import load_policies

REPOSITORY = Path(__file__).parents[2]
PACKAGING = REPOSITORY / "packaging"
RENEW = "run: make package"
SAMPLES = "daemon/app/templates/"
SWEEPD = Path(sys.executable).with_name("sweepd")
ZSH_LOADS_IT = """
if [ "$funcstack[1]" = _sweepd ]; then
  _sweepd_completion  # zsh loads this file when it first wants to call it
fi
"""
# A terminal in which somebody presses Tab; what is on its line then is shown by a key of its own.
ZSH = """
zmodload zsh/zpty
zpty terminal zsh -f -i
zpty -w terminal 'fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {folder}/dump'
zpty -w terminal 'show() {{ print "<$BUFFER>" }}; zle -N show; bindkey ^X show; print rea""dy'
zpty -r terminal line '*ready*'
zpty -n -w terminal $'sweepd relea\\t\\b\\C-x'
zpty -r -m terminal line '*<sweepd *>*' && print -r -- "$line"
"""


def test_the_manual_page_is_what_the_commands_say() -> None:
    assert (PACKAGING / "sweepd.1").read_text(encoding="utf-8") == manual(commands_of_sweepd()), RENEW


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff to read it")
def test_the_manual_page_is_well_formed() -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(PACKAGING / "sweepd.1")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completions_are_those_of_the_command(shell: str) -> None:
    made = sweepd({"_SWEEPD_COMPLETE": f"source_{shell}"}).lstrip("\n") + (ZSH_LOADS_IT if shell == "zsh" else "")
    assert (PACKAGING / "completions" / f"sweepd.{shell}").read_text(encoding="utf-8") == made, RENEW


def test_bash_completes_commands_and_options() -> None:
    asks = "".join(
        f"COMP_WORDS=(sweepd {words}) COMP_CWORD={len(words.split())}; _sweepd_completion {SWEEPD}\n"
        'echo "${COMPREPLY[*]}"\n'
        for words in ("rel", "token c", "delete --re")
    )
    script = f"source {PACKAGING}/completions/sweepd.bash\n{asks}complete -p sweepd"
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    *found, registered = done.stdout.splitlines()
    assert [line.split() for line in found] == [
        ["release", "reload"],
        ["create"],
        ["--records", "--retain", "--reason"],
    ]
    assert "-F _sweepd_completion" in registered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh to ask")
def test_zsh_completes_at_the_first_time_of_asking(tmp_path: Path) -> None:
    shutil.copyfile(PACKAGING / "completions" / "sweepd.zsh", tmp_path / "_sweepd")
    script = ZSH.format(folder=tmp_path)
    environment = {**os.environ, "PATH": f"{SWEEPD.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert "<sweepd release>" in done.stdout


def test_the_wheel_holds_all_that_an_installation_needs(tmp_path: Path) -> None:
    wheel = built(REPOSITORY, "wheel", tmp_path)
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        samples = {name: opened.read(name) for name in names if name.startswith(SAMPLES)}
        opened.extractall(tmp_path / "wheel")
    code = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "daemon").rglob("*") if path.is_file()}
    assert {name for name in code if "__pycache__" not in name} <= set(names)
    (share,) = (tmp_path / "wheel").glob("*.data/data/share")
    statuses = ("pending", "in_progress", "partial_completed", "completed", "failed")
    assert load_policies(share / "sweepd" / "policies", statuses=statuses).policies
    for name in ("man/man1/sweepd.1", "sweepd/config.yaml", "sweepd/systemd/sweepd.service"):
        assert (share / name).is_file()
    # what `sweepd init` writes is what the checkout shows
    shown = [REPOSITORY / "config.yaml", *(path for path in (REPOSITORY / "policies").rglob("*") if path.is_file())]
    assert samples == {f"{SAMPLES}{path.relative_to(REPOSITORY)}": path.read_bytes() for path in shown}
    assert (share / "zsh/site-functions/_sweepd").read_text().startswith("#compdef sweepd\n")


def test_the_source_package_builds_the_same_wheel(tmp_path: Path) -> None:
    wheel = built(REPOSITORY, "wheel", tmp_path / "one")
    with tarfile.open(built(REPOSITORY, "sdist", tmp_path / "source")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert built(unpacked, "wheel", tmp_path / "two").read_bytes() == wheel.read_bytes()


def built(source: Path, kind: str, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (found,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return found


def sweepd(variables: dict[str, str]) -> str:
    command = [str(SWEEPD)]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True).stdout
