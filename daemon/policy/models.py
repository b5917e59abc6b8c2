"""What a policy file may say. Each rule has a fixture with its exact message in tests/policies/bad."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, ValidationInfo, field_validator
from pydantic import model_validator as validates_model

from daemon.config import TimeZoneName
from daemon.errors import ErrorCode, SweepdError
from daemon.policy.condition import Age, Condition, Glob, NonEmpty, Strict
from daemon.policy.cron import CronFields, parse_cron
from daemon.policy.values import Duration
from daemon.strict_yaml import suggestion

__all__ = [
    "Action",
    "Age",
    "Condition",
    "Glob",
    "Keep",
    "Limits",
    "Mode",
    "Policy",
    "PolicyFile",
    "PolicySet",
    "Protect",
    "Schedule",
    "Trash",
]


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise ValueError("a name is 1 to 63 of a-z, 0-9 and `-`, and begins with a letter or digit")
    return value


Name: TypeAlias = Annotated[str, AfterValidator(_name)]
Count: TypeAlias = Annotated[StrictInt, Field(ge=1)]


class Mode(StrEnum):
    """Whether a policy deletes (enforce), only reports what it would delete (observe), or does not run (disabled)."""

    OBSERVE = "observe"
    ENFORCE = "enforce"
    DISABLED = "disabled"


class Keep(Strict):
    """What stays although it matches: the newest ``last`` of each group ``per``, and what is under ``min_age``."""

    last: Count | None = None
    per: tuple[Literal["database", "user", "status"], ...] = ()
    min_age: Duration | None = None

    @field_validator("per")
    @classmethod
    def _per_needs_last(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("last", 0) is None:
            raise ValueError("groups need a number to keep of each: add `last`")
        return value

    @validates_model(mode="after")
    def _says_something(self) -> Keep:
        if self.last is None and self.min_age is None:
            raise ValueError("says nothing: add `last` or `min_age`, or remove it")
        return self


class Limits(Strict):
    """How much one sweep may delete; beyond it the sweep stops before its first deletion, or takes the first ones."""

    max_tasks: Count | None = None
    on_exceed: Literal["abort", "truncate"] = "abort"


class Schedule(Strict):
    """When a policy sweeps. ``timezone`` (IANA) is for ``cron``; ``jitter`` delays each start by up to as much."""

    cron: str | None = None
    every: Duration | None = None
    timezone: TimeZoneName | None = None
    jitter: Duration | None = None

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str | None) -> str | None:
        if value is not None:
            parse_cron(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _only_for_cron(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("cron", "") is None:
            raise ValueError("only `cron` has a time zone: remove it")
        return value

    @validates_model(mode="after")
    def _one_of_two(self) -> Schedule:
        if (self.cron is None) == (self.every is None):
            raise ValueError("write exactly one of `cron` and `every`")
        return self

    @property
    def cron_fields(self) -> CronFields | None:
        """The expression, translated for APScheduler's CronTrigger."""
        return None if self.cron is None else parse_cron(self.cron)


class Trash(Strict):
    """Waiting in the trash for ``retain``, with a way back, before it is gone for good."""

    retain: Duration
    delete: Literal["directory", "directory_and_records"] = "directory"


class Action(Strict):
    """What happens to a task that goes: gone at once, or into the trash first."""

    delete: Literal["directory", "directory_and_records", "records"] | None = None
    trash: Trash | None = None

    @validates_model(mode="after")
    def _one_of_two(self) -> Action:
        if (self.delete is None) == (self.trash is None):
            raise ValueError("write exactly one of `delete` and `trash`")
        return self

    @property
    def what(self) -> Literal["directory", "directory_and_records", "records"]:
        """What goes, whichever way."""
        if self.trash is not None:
            return self.trash.delete
        assert self.delete is not None  # checked above
        return self.delete

    @property
    def retain(self) -> timedelta | None:
        """How long it waits in the trash; None if it does not."""
        return None if self.trash is None else self.trash.retain


class Protect(Strict):
    """Tasks no policy of any file may touch."""

    name: Name
    match: NonEmpty


class Policy(Strict):
    """One policy. An empty ``match`` means every task; ``allow_all`` is then true."""

    name: Name
    description: str = ""
    mode: Mode = Mode.OBSERVE
    schedule: Schedule | None = None
    allow_all: StrictBool = False
    match: Condition
    catch_up: StrictBool = False
    keep: Keep | None = None
    limits: Limits | None = None
    action: Action

    @field_validator("match")
    @classmethod
    def _everything_in_words(cls, value: Condition, info: ValidationInfo) -> Condition:
        if not value.matches_everything():
            return value
        if info.data.get("allow_all") is False:
            raise ValueError("matches every task: narrow it, or say `allow_all: true` beside it if that is meant")
        return Condition()

    @field_validator("catch_up")
    @classmethod
    def _catches_up_on_schedule(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("schedule", "") is None:
            raise ValueError("there is nothing to catch up with: add a `schedule`")
        return value


class PolicySet(Strict):
    """All policies of a folder, sorted by file; ``protect`` holds for each of them."""

    policies: tuple[Policy, ...] = ()
    protect: tuple[Protect, ...] = ()

    def get(self, name: str) -> Policy:
        """The policy of that name; raises `SweepdError` (POLICY_NOT_FOUND) that lists the names there are."""
        for policy in self.policies:
            if policy.name == name:
                return policy
        known = [policy.name for policy in self.policies]
        message = f"no policy `{name}`{suggestion(name, known)} known policies: {', '.join(known) or 'none'}"
        raise SweepdError(message, code=ErrorCode.POLICY_NOT_FOUND, details={"known": known})

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what the policies mean: comments, file names and order do not count."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        for entries in content.values():
            entries.sort(key=lambda entry: entry["name"])
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _version(value: Any) -> Any:
    if type(value) is not int or value != 1:
        raise ValueError("this sweepd reads version 1: write `version: 1`")
    return value


class PolicyFile(Strict):
    """One YAML file of the policies folder."""

    version: Annotated[Literal[1], BeforeValidator(_version)]
    policies: tuple[Policy, ...] = ()
    protect: tuple[Protect, ...] = ()
