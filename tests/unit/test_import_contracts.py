"""The layers hold, and the linter that guards them notices when they do not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LAYERS = "Imports point down only"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the source that a test may spoil."""
    shutil.copytree(PROJECT / "daemon", tmp_path / "daemon", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def broken(output: str) -> list[str]:
    """The contracts that the summary calls broken."""
    return re.findall(r"^(.+) BROKEN(?: \(.*\))?$", output, flags=re.MULTILINE)


def test_the_source_keeps_every_contract(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert broken(done.stdout) == []


def test_no_module_hides_from_the_linter() -> None:
    folders = {path.parent for path in (PROJECT / "daemon").rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


_PLANTED = {  # by what is wrong with it: where it is, what it says, and the contract it breaks
    "upward": ("catalog", "import daemon.web", LAYERS),
    "sideways": ("storage", "import daemon.catalog", LAYERS),
    "client": ("client", "from daemon import errors", LAYERS),
    "database": ("deletion", "import sqlalchemy", "Only daemon.catalog knows the database libraries"),
    "scheduler": ("web", "from apscheduler import triggers", "Only daemon.scheduler knows APScheduler"),
    "server": ("sweep", "from aiohttp import web", "Only daemon.web and daemon.app know aiohttp"),
    "requests": ("web", "import requests", "Only daemon.client and daemon.notify.sending know requests"),
    "notify": ("notify", "import requests", "Only daemon.client and daemon.notify.sending know requests"),
    "pure": ("policy", "import asyncio", "Policies are pure: no database, no server, no scheduler"),
}


def test_planted_violations_are_named(copy: Path) -> None:
    """All at once: the linter takes its time for each run."""
    for name, (folder, statement, _) in _PLANTED.items():
        (copy / "daemon" / folder / f"planted_{name}.py").write_text(f"{statement}\n", encoding="utf-8")
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(broken(done.stdout)) == {contract for _, _, contract in _PLANTED.values()}
    details = done.stdout[done.stdout.index("Broken contracts") :]
    sections = re.split(r"\n(.+)\n-+\n", details)
    told = dict(zip(sections[1::2], sections[2::2], strict=True))
    for name, (folder, _, contract) in _PLANTED.items():
        assert [one for one, text in told.items() if f"daemon.{folder}.planted_{name} ->" in text] == [contract]


def test_a_module_without_a_layer_is_named(copy: Path) -> None:
    (copy / "daemon" / "planted.py").touch()
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert broken(done.stdout) == [LAYERS]
