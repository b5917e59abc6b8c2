"""Bearer tokens: what each allows, how it is kept, and how a request's own is found among them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Iterable
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic import field_validator as validates

from daemon.errors import DocumentError, Problem
from daemon.strict_yaml import Mistake, load, validate

_ALGORITHM: Final = "sha256:"
_ID: Final = re.compile(r"[0-9a-f]{12}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Scope(StrEnum):
    """What a token allows. Each is granted by itself: none includes another."""

    READ = "read"
    DELETE = "delete"
    ADMIN = "admin"


EVERYTHING: Final = frozenset(Scope)


def check_name(name: str) -> str:
    """The name of a token, as journal and log show it. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name has 1 to 64 of A-Z a-z 0-9 . _ -, and begins with a letter or digit")
    if is_token_id(name):
        raise ValueError("12 hexadecimal digits are a token's id: choose another name")
    return name


def is_token_id(text: str) -> bool:
    """Whether it has the form of `TokenEntry.token_id`."""
    return _ID.fullmatch(text) is not None


def _hash(value: str) -> str:
    if not re.fullmatch(_ALGORITHM + "[0-9a-f]{64}", value):
        raise ValueError("has to be sha256: and 64 lower-case hexadecimal digits, as `sweepd token create` writes it")
    return value


def _some(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    if not scopes:
        raise ValueError(f"name at least one of {', '.join(Scope)}")
    return scopes


def _instant(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    text = value if isinstance(value, str) else ""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ValueError("has to be a date (its first instant in UTC) or a date and time with offset")
    return instant.astimezone(UTC)


Instant: TypeAlias = Annotated[datetime, BeforeValidator(_instant)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TokenEntry(_Strict):
    """One token as it is kept. Several may have one name, so that a new one works before the old one is revoked.

    A plain, fast hash is right: there is nothing to guess in a token of 256 random bits, and it is asked for at every
    request. A slow, salted one protects passwords that people think up.
    """

    name: Annotated[str, AfterValidator(check_name)]
    hash: Annotated[str, AfterValidator(_hash)]
    scopes: Annotated[tuple[Scope, ...], AfterValidator(_some)]
    expires: Instant | None = None
    created: Instant | None = None

    @property
    def token_id(self) -> str:
        """12 hexadecimal digits of its hash: tells tokens of one name apart."""
        return self.hash.removeprefix(_ALGORITHM)[:12]

    def is_over(self, now: datetime) -> bool:
        """Whether it has expired by then (aware)."""
        return self.expires is not None and now >= self.expires


class TokenFile(_Strict):
    """The content of ``server.tokens_file``."""

    version: Literal[1]
    tokens: tuple[TokenEntry, ...] = ()

    @validates("tokens")
    @classmethod
    def _each_once(cls, value: tuple[TokenEntry, ...]) -> tuple[TokenEntry, ...]:
        seen: set[str] = set()
        for index, entry in enumerate(value):
            if entry.hash in seen:
                raise Mistake("the same token is here twice: remove one", index)
            seen.add(entry.hash)
        return value


def load_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """The tokens in a file. Raises DocumentError: not there, not readable, wrong, or writable by everybody."""
    document = load(path, if_missing="`sweepd token create NAME --scope read` makes it")
    if path.stat().st_mode & stat.S_IWOTH:
        raise DocumentError([Problem(str(path), 1, 1, "everybody can write this file: chmod 600")])
    return validate(document, TokenFile).tokens


def new_token() -> str:
    """A token of 256 random bits; its beginning lets scanners for leaked secrets know it."""
    return f"sweepd_{secrets.token_urlsafe(32)}"


def hash_of(token: bytes) -> str:
    """What is kept of a token."""
    return _ALGORITHM + hashlib.sha256(token).hexdigest()


def find(entries: Iterable[TokenEntry], offered: bytes) -> TokenEntry | None:
    """The entry of a token, expired or not."""
    hashed, found = hash_of(offered), None
    for entry in entries:  # all of them, whichever fits: the time taken tells nothing
        if hmac.compare_digest(entry.hash, hashed):
            found = entry
    return found
