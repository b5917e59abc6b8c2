"""Every event that the source logs, read off the source: its name, its levels and its fields."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DAEMON: Final = Path(__file__).resolve().parents[2] / "daemon"
_LEVELS: Final = {"debug", "info", "warning", "error", "exception", "critical"}
_OF_LOGGING: Final = {"exc_info"}


@dataclass
class Event:
    """``open``: whether fields are added that the call does not name (``**fields``)."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    places: list[str] = field(default_factory=list)


def events() -> dict[str, Event]:
    """By name."""
    found: dict[str, Event] = {}
    for path in sorted(DAEMON.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in _functions(tree):
            chosen = _chosen(function)
            for call in _calls(function):
                levels = _levels(call.func, chosen)
                if not levels:
                    continue
                place = f"{path.relative_to(DAEMON)}:{call.lineno}"
                name = call.args[0] if call.args else None
                if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                    raise AssertionError(f"{place} logs an event whose name is not written there: {ast.unparse(call)}")
                event = found.setdefault(name.value, Event())
                event.levels |= {"error" if level == "exception" else level for level in levels}
                event.fields |= set(_fields(call, function)) - _OF_LOGGING
                event.places.append(place)
    return found


def _functions(tree: ast.Module) -> list[ast.AST]:
    """Each with its own body; what is in a function inside another is found with both, which does no harm."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _calls(function: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Call))


def _chosen(function: ast.AST) -> dict[str, set[str]]:
    """``write = _log.info if … else _log.error``: the levels, by the name."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            levels = _levels(node.value, {})
            if levels:
                found[node.targets[0].id] = levels
    return found


def _levels(function: ast.expr, chosen: dict[str, set[str]]) -> set[str]:
    if isinstance(function, ast.IfExp):
        return _levels(function.body, chosen) | _levels(function.orelse, chosen)
    if isinstance(function, ast.Name):
        return chosen.get(function.id, set())
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "_log":
        assert function.attr in _LEVELS, ast.unparse(function)
        return {function.attr}
    if isinstance(function, ast.Subscript):  # {…}[outcome](…)
        return _of_mapping(function.value, chosen)
    return set()


def _of_mapping(value: ast.expr, chosen: dict[str, set[str]]) -> set[str]:
    if isinstance(value, ast.Dict):
        return set().union(*(_levels(one, chosen) for one in value.values))
    return set()


def _fields(call: ast.Call, function: ast.AST) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg
        elif isinstance(keyword.value, ast.Name):  # of a dictionary that is written in the same function
            yield from _keys(keyword.value.id, function)


def _keys(name: str, function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            for one in ast.walk(node.value):
                if isinstance(one, ast.Dict):
                    yield from (str(key.value) for key in one.keys if isinstance(key, ast.Constant))
