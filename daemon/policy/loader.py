"""Reads a folder of policy files: all of it, or a `DocumentError` with every mistake of every file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from daemon.errors import DocumentError, Problem
from daemon.policy.models import Policy, PolicyFile, PolicySet, Protect
from daemon.strict_yaml import Document, read, validate

_SUFFIXES: Final = (".yaml", ".yml")
_LIKE_YAML: Final = re.compile(r"\.ya?ml", re.IGNORECASE)


def load_policies(folder: Path, *, statuses: Collection[str]) -> PolicySet:
    """The policies of every ``*.yaml`` and ``*.yml`` in the folder, not below it, hidden files left out.

    ``statuses`` are the ones a task can have. A folder without a file gives a set without policies; raises
    `DocumentError` with the problems of all files if anything is wrong, so a broken set is never half loaded.
    """
    problems: list[Problem] = []
    documents: list[Document] = []
    policies: list[Policy] = []
    protect: list[Protect] = []
    for path in _files(folder):
        try:
            document = read(path)
            documents.append(document)
            file = validate(document, PolicyFile, context={"statuses": statuses})
        except DocumentError as error:
            problems.extend(error.problems)
        else:
            policies.extend(file.policies)
            protect.extend(file.protect)
    for section in ("policies", "protect"):
        problems.extend(_duplicates(documents, section))
    if problems:
        raise DocumentError(problems)
    return PolicySet(policies=tuple(policies), protect=tuple(protect))


def unread(folder: Path) -> list[Path]:
    """What looks like a policy file in the folder and is not read, for its name; empty if it cannot be looked at."""
    try:
        entries = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []
    looks = (path for path in entries if not path.name.startswith(".") and _LIKE_YAML.search(path.name))
    return [path for path in looks if path.suffix not in _SUFFIXES]


def _files(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        message = f"the policies folder cannot be read: {reason}; create it, or correct `policies` in the configuration"
        raise DocumentError([Problem(str(folder), 1, 1, message)]) from None
    return [path for path in entries if path.suffix in _SUFFIXES and not path.name.startswith(".")]


def _duplicates(documents: list[Document], section: str) -> Iterator[Problem]:
    """Looks at the plain values, so that a file with other mistakes takes part."""
    first: dict[str, str] = {}
    for document in documents:
        entries = document.value.get(section) if isinstance(document.value, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str):
                continue
            location = (section, index, "name")
            if name in first:
                yield document.problem(location, f"`name`: `{name}` is already taken at {first[name]}")
            else:
                line, column = document.position(location)
                first[name] = f"{document.file}:{line}:{column}"
