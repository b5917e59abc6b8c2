"""Only daemon/storage changes the file system, and only daemon/clock.py reads the clock.

The linter's banned names (TID251) see ``os.unlink`` and ``datetime.now``, but not a method called on a variable, and
they are switched off for a whole file. This looks at every call, and at each ban by itself.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

DAEMON = Path(__file__).resolve().parents[2] / "daemon"

FILE_SYSTEM = frozenset({"unlink", "rmdir", "removedirs", "rmtree", "rename", "renames"})
CLOCK = frozenset({"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"})


def file_system_calls(source: str) -> list[str]:
    return [f"{node.lineno}: {ast.unparse(node.func)}" for node in _calls(source) if _changes_files(node)]


def clock_calls(source: str) -> list[str]:
    return [f"{node.lineno}: {ast.unparse(node.func)}" for node in _calls(source) if _reads_clock(node)]


def _calls(source: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def _changes_files(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False  # a bare name was imported from os or shutil, which the linter sees
    if call.func.attr == "replace":
        # Path.replace takes one argument, str.replace two or more, and datetime.replace and copies only keywords.
        return ast.unparse(call.func) == "os.replace" or (len(call.args) == 1 and not call.keywords)
    return call.func.attr in FILE_SYSTEM


def _reads_clock(call: ast.Call) -> bool:
    return ".".join(ast.unparse(call.func).split(".")[-2:]) in CLOCK


def modules(*, outside: str) -> list[Path]:
    room = DAEMON / outside
    return [path for path in sorted(DAEMON.rglob("*.py")) if path != room and room not in path.parents]


@pytest.mark.parametrize(
    "statement",
    ["path.unlink()", "(root / name).rmdir()", "entry.rename(other)", "path.replace(other)", "os.rename(a, b)"],
)
def test_a_change_of_the_file_system_is_noticed(statement: str) -> None:
    assert file_system_calls(statement)


@pytest.mark.parametrize("statement", ["text.replace('a', 'b')", "now.replace(tzinfo=None)", "names.remove(name)"])
def test_what_only_looks_like_one_is_left_alone(statement: str) -> None:
    assert not file_system_calls(statement)


@pytest.mark.parametrize("statement", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "time.time()"])
def test_a_reading_of_the_clock_is_noticed(statement: str) -> None:
    assert clock_calls(statement)


@pytest.mark.parametrize("statement", ["clock.now()", "time.monotonic()", "time.sleep(1)"])
def test_asking_the_clock_module_is_left_alone(statement: str) -> None:
    assert not clock_calls(statement)


def test_only_storage_changes_the_file_system() -> None:
    found = {
        str(path.relative_to(DAEMON)): file_system_calls(path.read_text("utf-8")) for path in modules(outside="storage")
    }
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_only_the_clock_module_reads_the_clock() -> None:
    found = {
        str(path.relative_to(DAEMON)): clock_calls(path.read_text("utf-8")) for path in modules(outside="clock.py")
    }
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_one_module_unlinks_and_two_rename() -> None:
    found = {path.name: file_system_calls(path.read_text("utf-8")) for path in (DAEMON / "storage").glob("*.py")}
    changing = {name: {call.rpartition(".")[2] for call in calls} for name, calls in found.items() if calls}
    assert changing == {"removal.py": {"unlink", "rmdir"}, "moves.py": {"replace", "rename"}, "syscalls.py": {"rename"}}
