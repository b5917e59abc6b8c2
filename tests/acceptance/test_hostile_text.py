"""Every command before hostile rows and hostile names of files: no traceback, no control character, a known status."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import typer.main

from daemon.cli import commands_of_sweepd
from daemon.cli.commands import REMOTE
from daemon.cli.exits import Exit
from support.daemons import Installation
from support.stores import Store
from support.trees import fill

HOSTILE = "x\nforged\t1\x1b[2J\x1b]0;title\x07\x9b31m\x7f\r\u202egnp.exe\u2066\u2028\u2029[bold]\\n{0}%s'\"; DROP TABLE"
IDS = ("..", ".", "", "a/b", "a\nb", "\x1b[31mred", "\u202eabc", "-rf", "名字", "x" * 200, "CON", "task 1", "*")
POLICIES = """
version: 1
policies:
  - name: old
    description: "red \\e[31m and \\n a line \\u202e"
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    action: {trash: {retain: 7d}}
  - name: gone
    match: {all: [{status: failed}, {older_than: 30d}]}
    action: {delete: directory_and_records}
  - name: orphans
    source: orphans
    match: {older_than: {age: 1d, by: first_seen}}
    action: {delete: directory}
"""
ALONE = {"run": "is the daemon of this test", "demo": "has rows of its own"}
"""Commands that are not walked, and why."""

WALK: dict[str, tuple[tuple[str, ...], ...]] = {
    "init": ((),),
    "check": ((), ("--json",), ("--schema",)),
    "doctor": ((), ("--json",)),
    "inventory": (("--scan",), ("--json",)),
    "tasks": ((), ("--json",), ("--limit", "3"), ("--status", HOSTILE)),
    "plan": ((), ("--all",), ("--json",), ("--save",), ("old", "--at", "2026-12-01"), (HOSTILE,), ("--at", HOSTILE)),
    "explain": ((HOSTILE,), ("task_good",), ("..",), ("task_good", "--json")),
    "policies": ((), ("--json",)),
    "hold": (
        ("task_held", "--reason", "why", "--until", "2099-12-31"),
        (HOSTILE, "--reason", "why"),
        ("task_held", "--reason", HOSTILE),
        ("task_held", "--reason", "why", "--owner", HOSTILE),
        ("task_held", "--reason", "why", "--until", HOSTILE),
    ),
    "holds": ((), ("--all",), ("--json",)),
    "release": ((HOSTILE,), ("task_held",)),
    "sweep": (("old",), ("gone", "--json"), ("orphans",), (HOSTILE,), ("old", "--plan", HOSTILE)),
    "sweeps": ((), ("--json",), (HOSTILE,)),
    "trash": ((), ("--json",), (HOSTILE,)),
    "restore": ((HOSTILE,), ("task_good",)),
    "delete": (
        ("--yes", "--retain", "1d", "task_good"),
        ("--yes", HOSTILE, "..", "", "a/b", "task_none"),
        ("--yes", "--json", "--force", HOSTILE, "名字"),
        ("--yes", "task_good", "--reason", HOSTILE),
    ),
    "purge": (("--yes", HOSTILE), ("--yes", "0" * 28)),
    "deletions": ((), ("--json",), ("--csv",), (HOSTILE,), ("--since", HOSTILE), ("--since", "2026-01-01")),
    "jobs": ((), ("--json",), (HOSTILE,), ("--state", HOSTILE)),
    "reload": ((),),
    "resume": (("old",), (HOSTILE,)),
    "test": ((HOSTILE,),),
    "notify test": ((), (HOSTILE,)),
    "token create": ((HOSTILE, "--scope", "read"), ("name", "--scope", HOSTILE)),
    "token list": ((), ("--json",)),
    "token revoke": ((HOSTILE,),),
    "accept-database": (("--reason", "why", "--yes"), ("--reason", HOSTILE, "--yes")),
    "accept-clock": (("--yes",), ("--yes", "--json")),
    "manual": ((),),
}
STATUSES = set(Exit) - {
    Exit.FAILED,
    Exit.ROOT,
    Exit.CATALOG,
    Exit.SERVER,
    Exit.INTERRUPTED,
    Exit.UNREAD,
    Exit.CUT_SHORT,
}
"""What a command may end with here, where root, database and daemon are in order."""


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
    made.init()
    made.url = f"sqlite:///{made.folder}/var/sweepd.sqlite3"
    store, old = Store(made.url), datetime(2025, 1, 1)
    columns: dict[str, Any] = {"completed_at": old, "created_at": old, "task_name": HOSTILE, "by_user": HOSTILE}
    columns |= {"db_name": HOSTILE}
    for task_id in (*IDS, "task_good", "task_held", "task_odd"):
        store.add_task(task_id, status="pending" if task_id == "task_odd" else "completed", **columns)
    store.add_task("task_failed", status="failed", **columns)
    for task_id in ("task_good", "task_held", "task_odd", "task_failed", "orphan_1"):
        fill(made.root / task_id)
        for name in (b"new\nline", b"esc\x1b[2J", b"bad\xff\xfe", "\u202egnp".encode()):
            (made.root / task_id / os.fsdecode(name)).write_text("x")
    for name in (b"root\nline", b"root\x1b[2J", b"root\xff", b"-rf", "名字".encode()):
        fill(made.root / os.fsdecode(name))
    made.root.joinpath(os.fsdecode(b"file\xff\n")).write_text("x")
    made.run("check")
    return made


def test_the_walk_knows_every_command() -> None:
    assert set(WALK) | set(ALONE) == set(_commands(typer.main.get_command(commands_of_sweepd())))


def test_no_command_here_is_upset(site: Installation) -> None:
    wrong = [said for name, lines in WALK.items() for line in lines if (said := _wrong(site, *name.split(), *line))]
    assert not wrong, "\n".join(wrong)


def test_no_command_of_a_daemon_is_upset(site: Installation) -> None:
    with site.daemon() as daemon:
        walked = [(name, line) for name, lines in WALK.items() if name in REMOTE for line in lines]
        said = [_wrong(site, "--server", daemon.address, name, *line) for name, line in walked]
    assert not any(said), "\n".join(filter(None, said))


def _commands(group: Any, *before: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *before, name)
        else:
            yield " ".join([*before, name])


def _wrong(site: Installation, *arguments: str) -> str | None:
    """What is wrong with what a command said, if anything is."""
    done = site.run(*arguments, check=False)
    said = done.stdout + done.stderr
    raw = {char for char in said if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")} - {"\n", "\t"}
    raw |= set(said) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    forged = any(line.startswith("forged") for line in said.splitlines())
    unreadable = False
    if "--json" in arguments and done.stdout:
        try:
            json.loads(done.stdout)
        except ValueError:
            unreadable = True
    if "Traceback" in said or raw or forged or unreadable or done.returncode not in STATUSES:
        return f"{arguments!a}: status {done.returncode}, raw {raw!a}, forged {forged}: {said[-1500:]!a}"
    return None
