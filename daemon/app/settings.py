"""What a reload replaces as a whole: the configuration, and the policies that were loaded by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from daemon.config import Config, load_config
from daemon.errors import ErrorCode, SweepdError
from daemon.policy.loader import load_policies
from daemon.policy.models import PolicySet

RELOADABLE: Final = (
    "policies",
    "trash",
    "log",
    "inventory",
    "reload",
    "notifications",
    "audit",
    "server.allowed_hosts",
    "server.trusted_proxies",
    "server.tokens",
    "server.tokens_file",
    "server.max_batch",
    "server.max_waiting",
    "server.jobs_keep",
    "server.tls.certificate",
    "server.tls.key",
)
"""The keys (with those below them) that take effect without a restart; what is not named here needs one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Immutable: whoever began with one ends with it."""

    config: Config
    policies: PolicySet


class Current:
    """The settings in force. Whoever asks gets one whole snapshot, on any thread, without waiting."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def config(self) -> Config:
        return self.settings.config

    @property
    def policies(self) -> PolicySet:
        return self.settings.policies


def load_settings(file: Path, before: Config) -> Settings:
    """The files as they are now.

    Raises DocumentError with every mistake of the configuration, or else of the policies, and SweepdError
    (RELOAD_REFUSED) if the configuration differs from ``before`` in what only a start can change.
    """
    config = load_config(file)
    changed = sorted(set(differences(before, config)))
    fixed = [key for key in changed if not any(key == name or key.startswith(f"{name}.") for name in RELOADABLE)]
    if fixed:
        told = ", ".join(f"{key} ({_value(before, key)} now, {_value(config, key)} in the file)" for key in fixed)
        message = f"{file}: {told} cannot change while the daemon runs: restart it, or put the old value back"
        raise SweepdError(message, code=ErrorCode.RELOAD_REFUSED, details={"reason": message, "keys": fixed})
    return Settings(config, load_policies(config.policies, statuses=config.catalog.statuses))


def _value(config: BaseModel, key: str) -> object:
    """For people to read; a secret shows as asterisks."""
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return "set" if isinstance(found, BaseModel) else found


def differences(before: BaseModel, after: BaseModel, prefix: str = "") -> Iterator[str]:
    """The keys in which two configurations differ, dotted: of a section that only one of them has, its name."""
    for name in type(before).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, BaseModel) and type(old) is type(new):
            yield from differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}"
