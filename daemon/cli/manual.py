"""The manual page, made of what the commands say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer.main

from daemon import __version__
from daemon.cli.exits import MEANINGS

_DATE: Final = "2026-11-25"  # the version's
_FILES: Final = {
    "config.yaml": "the configuration, in the current folder unless --config names another; sweepd init writes one",
    "policies/*.yaml": "the policies, beside it",
    "ROOT/.sweepd": "what sweepd keeps in the storage root: its marker, the trash, the locks",
}
_ENVIRONMENT: Final = {
    "SWEEPD_SERVER": "as --server",
    "SWEEPD_TOKEN": "the token for it",
    "SWEEPD_TOKEN_FILE": "as --token-file",
    "SWEEPD_CA_FILE": "as --ca-file",
}


def manual(app: typer.Typer) -> str:
    """The page of section 1, in the macros of man(7)."""
    root: Any = typer.main.get_command(app)
    lines = [
        f'.TH SWEEPD 1 "{_DATE}" "sweepd {__version__}" "User Commands"',
        ".SH NAME",
        "sweepd \\- policy\\-driven cleanup daemon for the task directories of a data pipeline",
        ".SH SYNOPSIS",
        ".B sweepd",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        _text(root.help),
        "Policies in YAML say what may go; sweepd deletes it on schedule, unattended.",
        "People delete by HTTP or by command through the same engine.",
        ".SH OPTIONS",
        *_parameters(root),
        ".SH COMMANDS",
        *_commands(root, "sweepd"),
        ".SH EXIT STATUS",
        *_list({str(int(status)): meaning for status, meaning in MEANINGS.items()}),
        ".SH ENVIRONMENT",
        *_list(_ENVIRONMENT),
        ".SH FILES",
        *_list(_FILES),
    ]
    return "\n".join(lines) + "\n"


def _commands(group: Any, prefix: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
            continue
        names = [_metavar(one) for one in command.params if one.param_type_name == "argument"]
        yield f'.SS "{_text(" ".join([f"{prefix} {name}", "[OPTIONS]", *names]))}"'
        yield _text(command.help or "")
        yield from _parameters(command)


def _parameters(command: Any) -> Iterator[str]:
    for one in command.params:
        if one.param_type_name == "argument" or getattr(one, "hidden", False):
            continue
        value = "" if one.is_flag else f" {_metavar(one)}"
        yield ".TP"
        yield f".B {_text(', '.join([*one.opts, *one.secondary_opts]) + value)}"
        yield _text(one.help or "Show the help and exit.")


def _metavar(one: Any) -> str:
    return str(one.metavar or one.name.upper())


def _list(entries: Mapping[str, str]) -> Iterator[str]:
    for name, meaning in entries.items():
        yield from (".TP", f".B {_text(name)}", _text(meaning))


def _text(text: str) -> str:
    """One paragraph, in which nothing means anything to roff."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace('"', "\\(dq")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
