"""What a configuration takes from outside: ``${env:NAME}`` and ``${credential:NAME}`` in its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from daemon.strict_yaml import Document, Location

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<body>[^{}]*)\}|\$\{")


def expand(document: Document, environ: Mapping[str, str]) -> Document:
    """The document with every reference in a string replaced; what replaces it is not looked at again.

    ``environ`` holds the variables, and CREDENTIALS_DIRECTORY. One that cannot be replaced is a flaw of the document.
    """
    return _expand(document, document.value, (), environ)


def _expand(document: Document, value: Any, location: Location, environ: Mapping[str, str]) -> Document:
    if isinstance(value, dict | list):
        entries: list[tuple[str | int, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, item in entries:
            document = _expand(document, item, (*location, key), environ)
        return document
    if not isinstance(value, str) or "${" not in value:
        return document
    try:
        text = _REFERENCE.sub(lambda match: _resolve(match, environ), value)
    except ValueError as error:
        return document.flaw(location, str(error))
    parent = document.value
    for step in location[:-1]:
        parent = parent[step]
    parent[location[-1]] = text
    return document


def _resolve(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match[0] == "$${":
        return "${"
    # The text between the braces is only shown once it is known to be a name: it may be part of a password.
    scheme, _, name = (match["body"] or "").partition(":")
    if scheme == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        if name not in environ:
            raise ValueError(f"the environment variable {name} is not set")
        return environ[name]
    if scheme == "credential" and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
        return _credential(name, environ)
    raise ValueError("`${` begins ${env:NAME} or ${credential:NAME}: write one of them, or `$${` for a literal `${`")


def _credential(name: str, environ: Mapping[str, str]) -> str:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ValueError(
            f"the credential {name} needs CREDENTIALS_DIRECTORY, which systemd sets for LoadCredential=: type "
            "`sudo sweepd`, the command that docs/install.md installs, or set it to the folder of the credentials"
        )
    try:
        text = Path(folder, name).read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise ValueError(f"the credential {name} cannot be read: {reason}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the credential {name} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
