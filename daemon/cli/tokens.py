"""What ``sweepd token`` does to the token file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import typer
from pydantic import SecretStr

from daemon import clock
from daemon.cli.render import dump, say, table
from daemon.cli.streams import complain
from daemon.durations import parse_duration
from daemon.errors import StartupRefused
from daemon.moments import for_people
from daemon.storage import token_file
from daemon.tokens import Scope, TokenEntry, check_name, hash_of, is_token_id, load_tokens, new_token

_HEAD = """\
# Kept by `sweepd token`. It holds no secrets, only their hashes; a running daemon reads it again when it changes.
"""


@dataclass(frozen=True)
class Tokens:
    """The token file, and the tokens that the configuration itself holds."""

    path: Path
    configured: tuple[SecretStr | TokenEntry, ...] = ()

    def load(self) -> tuple[TokenEntry, ...]:
        """Raises DocumentError; a file that is not there yet has none."""
        return load_tokens(self.path) if self.path.exists() else ()

    def change(self, make: Callable[[tuple[TokenEntry, ...]], Iterable[TokenEntry]]) -> None:
        """Replace the tokens by what ``make`` makes of them. Raises DocumentError or StartupRefused."""
        try:
            with token_file.changing(self.path):
                token_file.write(self.path, _text(make(self.load())))
        except OSError as error:
            raise StartupRefused(f"{self.path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def terms(name: str, scopes: Sequence[str], expires: str | None) -> tuple[str, tuple[Scope, ...], timedelta | None]:
    """What the command line asks for. Raises typer.BadParameter that says what to write instead."""
    try:
        check_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None
    unknown = [scope for scope in scopes if scope not in list(Scope)]
    if unknown:
        raise typer.BadParameter(f"one of {', '.join(Scope)}, not {unknown[0]!a}", param_hint="--scope")
    try:
        lasting = None if expires is None else parse_duration(expires)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from None
    return name, tuple(scope for scope in Scope if scope in scopes), lasting


def create(tokens: Tokens, name: str, scopes: tuple[Scope, ...], lasting: timedelta | None, *, as_json: bool) -> None:
    """Add a token and print it. Raises SweepdError."""
    secret, now = new_token(), clock.now().replace(microsecond=0)
    entry = TokenEntry(
        name=name,
        hash=hash_of(secret.encode()),
        scopes=scopes,
        expires=None if lasting is None else now + lasting,
        created=now,
    )
    tokens.change(lambda known: (*known, entry))
    if as_json:
        dump({"token": secret, **_entry(entry)})
        return
    print(secret)  # alone on standard output, for a script to keep
    until = f", until {for_people(entry.expires)}" if entry.expires else ""
    complain(
        f"token {entry.token_id} of {name}: {', '.join(scopes)}{until}. It is not shown again; kept in {tokens.path}"
    )


def show(tokens: Tokens, *, as_json: bool) -> None:
    """Print what there is. Raises DocumentError."""
    now = clock.now()
    entries = [*(one for one in tokens.configured if isinstance(one, TokenEntry)), *tokens.load()]
    plain = [f"token-{number}" for number, one in enumerate(tokens.configured, 1) if isinstance(one, SecretStr)]
    if as_json:
        found = [{**_entry(entry), "expired": entry.is_over(now)} for entry in entries]
        dump({"tokens": found, "plain": plain})
        return
    rows = [
        (
            entry.token_id,
            entry.name,
            ", ".join(entry.scopes),
            for_people(entry.created) if entry.created else "",
            f"{for_people(entry.expires)}{' (over)' * entry.is_over(now)}" if entry.expires else "never",
        )
        for entry in entries
    ]
    rows += [("", name, ", ".join(Scope), "", "never") for name in plain]
    table(("id", "name", "scopes", "created", "expires"), rows)
    say(f"{len(rows)} tokens", style="dim")


def revoke(tokens: Tokens, names: Sequence[str], *, as_json: bool) -> None:
    """Take these away, all or none. Raises SweepdError, and typer.BadParameter for a name that no token has."""
    revoked: list[TokenEntry] = []

    def without(known: tuple[TokenEntry, ...]) -> Iterable[TokenEntry]:
        for name in names:
            fitting = [one for one in known if name == (one.token_id if is_token_id(name) else one.name)]
            if not fitting:
                raise typer.BadParameter(f"{tokens.path} has no token {name!a}: sweepd token list")
            revoked.extend(one for one in fitting if one not in revoked)
        return [one for one in known if one not in revoked]

    tokens.change(without)
    if as_json:
        dump({"revoked": [_entry(entry) for entry in revoked]})
        return
    for entry in revoked:
        say(f"token {entry.token_id} of {entry.name}: revoked")


def _entry(entry: TokenEntry) -> dict[str, object]:
    return {
        "id": entry.token_id,
        "name": entry.name,
        "scopes": list(entry.scopes),
        "created": entry.created and entry.created.isoformat(),
        "expires": entry.expires and entry.expires.isoformat(),
    }


def _text(entries: Iterable[TokenEntry]) -> str:
    lines = [_HEAD, "version: 1\n"]
    entries = list(entries)
    lines.append("tokens:\n" if entries else "tokens: []\n")
    for entry in entries:
        fields = entry.model_dump(mode="json", exclude_none=True)
        # JSON's strings and lists are YAML's as well
        written = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
        lines.append("  - " + "\n    ".join(written) + "\n")
    return "".join(lines)
