"""Webhooks, as the configuration names them: where to, signed with what, and what each is told.

An address may hold a secret itself (those of chat services do), so that neither it nor the key appears in any message.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationInfo
from pydantic import field_validator as validates
from pydantic import model_validator as validates_model

from daemon.durations import Duration
from daemon.strict_yaml import Mistake

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KEY_PREFIX: Final = "whsec_"
# Standard Webhooks asks for 24 to 64 bytes.
_KEY_BYTES: Final = range(24, 65)
_MAKE_ONE: Final = 'make one with: echo "whsec_$(openssl rand -base64 32)"'


class Subject(StrEnum):
    """What a webhook can ask for."""

    FAILURES = "failures"  # sweeps that failed, in part or as a whole, or could not begin
    LIMITS = "limits"  # sweeps that a limit stopped or cut short
    QUOTAS = "quotas"  # low marks that were not reached
    SUSPENSIONS = "suspensions"  # policies that suspended themselves, and that go on again
    ALARMS = "alarms"  # what the daemon stands on, what is stuck, what somebody has to look at
    ANNOUNCEMENTS = "announcements"  # tasks that go soon, by policies with `notify`
    SWEEPS = "sweeps"  # every other sweep


USUAL: Final = tuple(subject for subject in Subject if subject is not Subject.SWEEPS)


def loopback(host: str) -> bool:
    """Whether only this machine can be reached by that host name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def key_of(secret: SecretStr) -> bytes:
    """The bytes that messages are signed with. Raises ValueError that says how to make one."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(_KEY_PREFIX) or len(key) not in _KEY_BYTES:
        raise ValueError(f"a secret is whsec_ and 24 to 64 bytes in base64: {_MAKE_ONE}")
    return key


def _url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not an address: write one such as https://hooks.example.org/sweepd") from None
    if parts.scheme not in ("http", "https") or not host or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has to be an address such as https://hooks.example.org/sweepd")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user or password in an address: messages are signed with `secret`, let the receiver check")
    if parts.fragment:
        raise ValueError("an address has no fragment here: leave out what begins with `#`")
    if parts.scheme == "http" and not loopback(host):
        raise ValueError("everybody on the way could read it: write https:// (http:// is for this machine only)")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name is 1 to 63 of a-z, 0-9 and `-`, and begins with a letter or digit")
    return value


def _keys(value: Any) -> Any:
    return (value,) if isinstance(value, str | SecretStr) else value


def _each_fits(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not value:
        raise ValueError(f"must not be empty: {_MAKE_ONE}")
    for index, secret in enumerate(value):
        try:
            key_of(secret)
        except ValueError as error:
            raise (Mistake(str(error), index) if len(value) > 1 else error) from None
    return value


def _some(value: tuple[Subject, ...]) -> tuple[Subject, ...]:
    if not value:
        raise ValueError(f"name at least one of {', '.join(Subject)}")
    return value


def _ca_file(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError("must not be empty" if not value.strip() else "a path cannot hold a NUL character")
    base: Path | None = (info.context or {}).get("base")
    return base / value if base and isinstance(value, str | Path) else value


Keys: TypeAlias = Annotated[tuple[SecretStr, ...], BeforeValidator(_keys), AfterValidator(_each_fits)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


class Webhook(_Strict):
    """One receiver. Of several ``secret`` each signs, so that a new one can take the place of an old one.

    ``format`` standard sends the whole document, slack its text alone, as chat services take it. ``ca_file``: PEM, the
    authorities to trust instead of the usual ones.
    """

    name: Annotated[str, AfterValidator(_name)]
    url: Annotated[SecretStr, AfterValidator(_url)]
    format: Literal["standard", "slack"] = "standard"
    secret: Keys | None = None
    events: Annotated[tuple[Subject, ...], AfterValidator(_some)] = USUAL
    ca_file: Annotated[Path | None, BeforeValidator(_ca_file)] = None

    @validates_model(mode="after")
    def _signed(self) -> Webhook:
        if self.secret is None and self.format != "slack":
            raise ValueError(f"a receiver cannot know who sends without a `secret`: {_MAKE_ONE}")
        return self

    @property
    def where(self) -> str:
        """Its scheme, host and port: what may be shown of the address."""
        parts = urlsplit(self.url.get_secret_value())
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


class NotificationsConfig(_Strict):
    """What arises within ``window`` is one message; the database has to be away for ``patience`` to be an alarm."""

    webhooks: tuple[Webhook, ...] = ()
    window: Duration = timedelta(minutes=1)
    patience: Duration = timedelta(minutes=5)

    @validates("webhooks")
    @classmethod
    def _each_once(cls, value: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        names: set[str] = set()
        for index, webhook in enumerate(value):
            if webhook.name in names:
                raise Mistake(f"a second webhook `{webhook.name}`: choose another name", index, "name")
            names.add(webhook.name)
        return value

    @validates("window")
    @classmethod
    def _not_too_long(cls, value: timedelta) -> timedelta:
        if value > timedelta(hours=1):
            raise ValueError("what happened more than 1h ago is no news: write 1h or less")
        return value
