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


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("catalog/planted.py", "import daemon.web", LAYERS),
        ("storage/planted.py", "import daemon.catalog", LAYERS),
        ("planted.py", "", LAYERS),
        ("deletion/planted.py", "import sqlalchemy", "Only daemon.catalog knows the database libraries"),
        ("web/planted.py", "from apscheduler import triggers", "Only daemon.scheduler knows APScheduler"),
        ("sweep/planted.py", "from aiohttp import web", "Only daemon.web and daemon.app know aiohttp"),
        ("client/planted.py", "from daemon import errors", LAYERS),
        ("web/planted.py", "import requests", "Only daemon.client and daemon.notify.sending know requests"),
        ("notify/planted.py", "import requests", "Only daemon.client and daemon.notify.sending know requests"),
        ("policy/planted.py", "import asyncio", "Policies are pure: no database, no server, no scheduler"),
    ],
    ids=["upward", "sideways", "no-layer", "database", "scheduler", "server", "client", "requests", "notify", "pure"],
)
def test_a_planted_violation_is_named(copy: Path, module: str, statement: str, contract: str) -> None:
    (copy / "daemon" / module).write_text(statement + "\n", encoding="utf-8")
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert broken(done.stdout) == [contract]
