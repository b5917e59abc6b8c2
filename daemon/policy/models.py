"""What a policy file may say. Each rule has a fixture with its exact message in tests/policies/bad."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic import model_validator as validates_model

from daemon.config import TimeZoneName
from daemon.errors import ErrorCode, SweepdError
from daemon.policy.condition import Age, Condition, Glob, NonEmpty, SizeRange, Strict, one_or_more
from daemon.policy.cron import CronFields, parse_cron
from daemon.policy.quota import Quota
from daemon.policy.schema import Adds, file_schema
from daemon.policy.sources import asked_of_rows
from daemon.policy.values import Duration, Size
from daemon.strict_yaml import Mistake, kind, refuse, suggestion

__all__ = [
    "Action",
    "Age",
    "Condition",
    "Glob",
    "Keep",
    "Limits",
    "Mode",
    "Notify",
    "Policy",
    "PolicyFile",
    "PolicySet",
    "Protect",
    "Quota",
    "Schedule",
    "SizeRange",
    "Trash",
]


_NAME = "[a-z0-9][a-z0-9-]{0,62}"


def _name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError("a name is 1 to 63 of a-z, 0-9 and `-`, and begins with a letter or digit")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number such as 20, got {kind(value)}")
    return value


Name: TypeAlias = Annotated[str, AfterValidator(_name), Adds(pattern=f"^{_NAME}$")]
Count: TypeAlias = Annotated[StrictInt, Field(ge=1)]
Number: TypeAlias = Annotated[int | float, BeforeValidator(_number)]
Percent: TypeAlias = Annotated[
    Number, Field(ge=0, le=100), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100})
]
Order: TypeAlias = Literal["oldest", "newest", "largest", "smallest"]
Orders: TypeAlias = Annotated[
    tuple[Order, ...],
    BeforeValidator(one_or_more, json_schema_input_type=Order | Annotated[list[Order], Field(min_length=1)]),
]


def _one_of(*keys: str) -> ConfigDict:
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [key]} for key in keys]})


def _some_of(*keys: str) -> ConfigDict:
    return ConfigDict(json_schema_extra={"anyOf": [{"required": [key]} for key in keys]})


class Mode(StrEnum):
    """Whether a policy deletes (enforce), only reports what it would delete (observe), or does not run (disabled)."""

    OBSERVE = "observe"
    ENFORCE = "enforce"
    DISABLED = "disabled"


class Keep(Strict):
    """What stays although it matches: the newest ``last`` of each group ``per``, and what is under ``min_age``."""

    EXAMPLE: ClassVar = "{last: 5, per: [database]}"

    model_config = _some_of("last", "min_age")

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
    """How much one sweep may delete; beyond it the sweep stops before its first deletion, or takes the first ones.

    ``max_percent``: of the tasks the policy looks at. ``max_times_usual``: as many times as the policy's last sweeps
    selected, by their median. ``max_error_percent``: of the deletions tried; beyond it the sweep stops where it is.
    """

    EXAMPLE: ClassVar = "{max_tasks: 500, max_bytes: 500GB}"

    model_config = _some_of("max_tasks", "max_bytes", "max_percent", "max_times_usual", "max_error_percent")

    max_tasks: Count | None = None
    max_bytes: Annotated[Size, Field(ge=1)] | None = None
    max_percent: Percent | None = None
    max_times_usual: Annotated[Number, Field(ge=1), WithJsonSchema({"type": "number", "minimum": 1})] | None = None
    max_error_percent: Percent | None = None
    on_exceed: Literal["abort", "truncate"] = "abort"

    @validates_model(mode="after")
    def _says_something(self) -> Limits:
        bounds = (self.max_tasks, self.max_bytes, self.max_percent, self.max_times_usual, self.max_error_percent)
        if all(bound is None for bound in bounds):
            raise ValueError("says nothing: add a bound such as `max_tasks`, or remove it")
        return self


class Schedule(Strict):
    """When a policy sweeps. ``timezone`` (IANA) is for ``cron``; ``jitter`` delays each start by up to as much."""

    EXAMPLE: ClassVar = "{every: 6h}"

    model_config = _one_of("cron", "every")

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
    def digest(self) -> str:
        """SHA-256, in hex, of what the schedule means."""
        return _digest(self.model_dump(mode="json", exclude_none=True))

    @property
    def cron_fields(self) -> CronFields | None:
        """The expression, translated for APScheduler's CronTrigger."""
        return None if self.cron is None else parse_cron(self.cron)


class Trash(Strict):
    """Waiting in the trash for ``retain``, with a way back, before it is gone for good."""

    EXAMPLE: ClassVar = "{retain: 7d}"

    retain: Duration
    delete: Literal["directory", "directory_and_records"] = "directory"


class Action(Strict):
    """What happens to a task that goes: gone at once, or into the trash first."""

    EXAMPLE: ClassVar = "{delete: directory}"

    model_config = _one_of("delete", "trash")

    delete: Literal["directory", "directory_and_records", "records"] | None = None
    trash: Trash | None = None
    in_place: bool | None = None

    @validates_model(mode="after")
    def _one_of_two(self) -> Action:
        if (self.delete is None) == (self.trash is None):
            raise ValueError("write exactly one of `delete` and `trash`")
        if self.in_place and self.trash is not None:
            raise ValueError("a directory that is removed in place cannot wait in the trash: write `delete` instead")
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

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what the action means."""
        return _digest(self.model_dump(mode="json", exclude_none=True))


class Notify(Strict):
    """Who listens is told of each task once, and no task goes before it has been announced for ``before``."""

    EXAMPLE: ClassVar = "{before: 48h}"

    before: Duration


class Protect(Strict):
    """Tasks no policy of any file may touch."""

    EXAMPLE: ClassVar = "{name: golden, match: {status: completed}}"

    name: Name
    match: NonEmpty


class Policy(Strict):
    """One policy. An empty ``match`` means every task; ``allow_all`` is then true.

    ``source``: the tasks of the catalog, or the directories without a row. ``order``: which go first.
    """

    EXAMPLE: ClassVar = "{name: old, match: {older_than: 30d}, action: {delete: directory}}"

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"allow_all": {"const": True}}, "required": ["allow_all"]},
            "else": {"properties": {"match": {"minProperties": 1}}},
        }
    )

    name: Name
    description: str = ""
    mode: Mode = Mode.OBSERVE
    source: Literal["tasks", "orphans"] = "tasks"
    schedule: Schedule | None = None
    allow_all: StrictBool = False
    match: Condition
    catch_up: StrictBool = False
    keep: Keep | None = None
    limits: Limits | None = None
    quota: Quota | None = None
    notify: Notify | None = None
    order: Orders = ("oldest",)
    action: Action

    @field_validator("order")
    @classmethod
    def _orders_differ(cls, value: tuple[Order, ...]) -> tuple[Order, ...]:
        seen: set[str] = set()
        for index, order in enumerate(value):
            what = "date" if order in ("oldest", "newest") else "size"
            if what in seen:
                raise Mistake(f"sorts by {what} a second time: keep the first of them", index)
            seen.add(what)
        return value

    @field_validator("keep")
    @classmethod
    def _orphans_cannot_be_ranked(cls, value: Keep | None, info: ValidationInfo) -> Keep | None:
        if value is not None and value.last is not None and info.data.get("source") == "orphans":
            raise Mistake("orphans have no date of creation to keep the newest by: write `min_age`", "last")
        return value

    @field_validator("quota")
    @classmethod
    def _quota_is_for_tasks(cls, value: Quota | None, info: ValidationInfo) -> Quota | None:
        if value is not None and info.data.get("source") == "orphans":
            raise ValueError("a quota is for tasks: remove it, or `source: orphans`")
        return value

    @field_validator("notify")
    @classmethod
    def _what_goes_is_known_before(cls, value: Notify | None, info: ValidationInfo) -> Notify | None:
        if value is not None and info.data.get("quota") is not None:
            raise ValueError("what a quota takes depends on how full it is then: nobody can be told before; remove it")
        if value is not None and info.data.get("schedule", "") is None:
            raise ValueError("without a `schedule` nothing goes by itself: add one, or remove it")
        return value

    @field_validator("action")
    @classmethod
    def _action_fits(cls, value: Action, info: ValidationInfo) -> Action:
        at = ("delete",) if value.trash is None else ("trash", "delete")
        if info.data.get("source") == "orphans" and value.what != "directory":
            raise Mistake("orphans have no records: write `directory`", *at)
        if info.data.get("quota") is not None and value.trash is not None:
            raise Mistake("a quota cannot retain in the trash, it would free nothing: write `delete`", "trash")
        if info.data.get("quota") is not None and value.what == "records":
            raise Mistake("a quota frees space, and records take none: write `directory`", *at)
        return value

    @property
    def asks_inventory(self) -> bool:
        """Whether its decisions need what the last scan counted."""
        sizes = self.limits is not None and self.limits.max_bytes is not None
        by_size = any(order in ("largest", "smallest") for order in self.order)
        return sizes or by_size or self.quota is not None or self.match.asks_inventory()

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what the policy means."""
        return _digest(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @property
    def meaning(self) -> str:
        """SHA-256, in hex, of what the policy selects and does: not of when it runs, whom it tells, or its mode."""
        timeless = {"mode": Mode.OBSERVE, "schedule": None, "catch_up": False, "description": "", "notify": None}
        return self.model_copy(update=timeless).digest

    @property
    def notice(self) -> timedelta | None:
        """How long before it goes a task has to have been announced; None if the policy announces nothing."""
        return None if self.notify is None or self.mode is not Mode.ENFORCE else self.notify.before

    @field_validator("match")
    @classmethod
    def _everything_in_words(cls, value: Condition, info: ValidationInfo) -> Condition:
        if info.data.get("source") == "orphans":
            refuse(list(asked_of_rows(value)))
        # what it looks at has a directory, unless it deletes records alone: then it would look at nothing
        all_present = value.model_copy(update={"directory": None}) if value.directory == "present" else value
        if not all_present.matches_everything():
            return value
        if info.data.get("allow_all") is False:
            raise ValueError("matches every task: narrow it, or say `allow_all: true` beside it if that is meant")
        # a task without a name, or tables without names, make a difference to it
        return value if value.asks_names() or value is not all_present else Condition()

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
        return _digest(content)


def _digest(content: dict[str, Any]) -> str:
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


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file. It says less than the loader checks, and never more."""
    return file_schema(PolicyFile, title="Policies of sweepd")
