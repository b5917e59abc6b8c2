"""Conditions: which tasks a policy means."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from daemon.policy.values import Duration, Size
from daemon.strict_yaml import kind, suggestion

OF_INVENTORY: Final = frozenset({"modified", "first_seen"})
"""Timestamps of directories, not of rows."""


class Strict(BaseModel):
    """Immutable, and refuses what it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, hide_input_in_errors=True
    )


def one_or_more(value: Any) -> Any:
    """A single string stands for a list of it; an empty list is refused."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a string or a list of strings, got {kind(value)}")
    return _not_empty_list(value)


def _not_empty_list(value: Any) -> Any:
    if isinstance(value, list | tuple) and not value:
        raise ValueError("the list is empty: add an entry, or remove the key")
    return value


def _not_empty(value: Any) -> Any:
    if isinstance(value, dict) and not value:
        raise ValueError("the condition is empty and would match everything: say what it matches")
    return value


def _known_status(value: str, info: ValidationInfo) -> str:
    known: Collection[str] | None = (info.context or {}).get("statuses")
    if known is not None and value not in known:
        raise ValueError(f"unknown status `{value}`{suggestion(value, known)} known: {', '.join(known)}")
    return value


def _wildcards(value: str) -> str:
    if not value:
        raise ValueError('the pattern is empty: write "*" for any text')
    if "[" in value:
        raise ValueError(
            "only * and ? are wildcards, `[` is not supported: write a list of patterns, one for each case"
        )
    return value


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(one_or_more)]
Status: TypeAlias = Annotated[str, AfterValidator(_known_status)]
Statuses: TypeAlias = Annotated[tuple[Status, ...], BeforeValidator(one_or_more)]
Pattern: TypeAlias = Annotated[str, AfterValidator(_wildcards)]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], BeforeValidator(one_or_more)]


class Age(Strict):
    """How long ago one of a task's timestamps has to be; a bare duration means since it completed.

    ``modified`` is the newest change of a file, ``first_seen`` the first scan that met the directory: both are the
    inventory's. Directories without a row have no other.
    """

    age: Duration
    by: Literal["created", "started", "completed", "updated", "modified", "first_seen"] = "completed"

    @model_validator(mode="before")
    @classmethod
    def _scalar(cls, value: Any) -> Any:
        return {"age": value} if isinstance(value, str | int | float) else value


class Glob(Strict):
    """Patterns of which one has to fit the whole text; ``*`` is any text, ``?`` any one character, case counts."""

    glob: Patterns

    @model_validator(mode="before")
    @classmethod
    def _no_shorthand(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            raise ValueError(f'expected a mapping such as {{glob: "run-*"}}, got {kind(value)}')
        return value


class SizeRange(Strict):
    """How large a task directory is: the apparent bytes of its files, as the last scan counted them."""

    gte: Size | None = None
    gt: Size | None = None
    lte: Size | None = None
    lt: Size | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_shorthand(cls, value: Any) -> Any:
        if not isinstance(value, dict | SizeRange):
            raise ValueError(f"expected a mapping such as {{gte: 100MB}}, got {kind(value)}")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> SizeRange:
        if not self.bounds:
            raise ValueError("says nothing: add one of `gte`, `gt`, `lte` and `lt`")
        return self

    @property
    def bounds(self) -> dict[str, int]:
        """The bounds that are given, by their word."""
        return {word: bound for word in ("gte", "gt", "lte", "lt") if (bound := getattr(self, word)) is not None}


class Condition(Strict):
    """Several keys mean all of them. Without any key it is true; YAML cannot write that, except by ``allow_all``."""

    all: Annotated[tuple[NonEmpty, ...] | None, BeforeValidator(_not_empty_list)] = None
    any: Annotated[tuple[NonEmpty, ...] | None, BeforeValidator(_not_empty_list)] = None
    # Not `alias`: type checkers would take "not" for the name of the argument.
    not_: NonEmpty | None = Field(default=None, validation_alias="not", serialization_alias="not")
    status: Statuses | None = None
    older_than: Age | None = None
    newer_than: Age | None = None
    task_id: Glob | None = None
    task_name: Glob | None = None
    user: Names | None = None
    database: Names | None = None
    directory: Literal["present", "missing"] | None = None
    size: SizeRange | None = None

    def inside(self) -> Iterator[Condition]:
        """This condition and every one inside it."""
        yield self
        for child in (*(self.all or ()), *(self.any or ()), *((self.not_,) if self.not_ is not None else ())):
            yield from child.inside()

    def asks_inventory(self) -> bool:
        """Whether it needs to know what is in the directories."""
        ages = [age for one in self.inside() for age in (one.older_than, one.newer_than) if age is not None]
        return any(one.size for one in self.inside()) or any(age.by in OF_INVENTORY for age in ages)

    def matches_everything(self) -> bool:
        """Whether its structure alone says so: no key at all, or nothing but patterns that fit any text."""
        return all(truth is True for truth in self._truths())

    def _truths(self) -> list[bool | None]:
        """For each key: true or false for every task whatever, or None for "it depends"."""
        truths: list[bool | None] = []
        if self.all is not None:
            truths.append(_conjunction([_truth(child) for child in self.all]))
        if self.any is not None:
            truths.append(_negation(_conjunction([_negation(_truth(child)) for child in self.any])))
        if self.not_ is not None:
            truths.append(_negation(_truth(self.not_)))
        truths += [any(map(_universal, glob.glob)) or None for glob in (self.task_id, self.task_name) if glob]
        leaves = (self.status, self.older_than, self.newer_than, self.user, self.database, self.directory, self.size)
        truths += [None for leaf in leaves if leaf is not None]
        return truths


NonEmpty: TypeAlias = Annotated[Condition, BeforeValidator(_not_empty)]
Condition.model_rebuild()


def _truth(condition: Condition) -> bool | None:
    return _conjunction(condition._truths())


def _conjunction(truths: list[bool | None]) -> bool | None:
    if any(truth is False for truth in truths):
        return False
    return True if all(truths) else None


def _negation(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _universal(pattern: str) -> bool:
    # "?*" as well: no identifier is empty.
    return "*" in pattern and set(pattern) <= {"*", "?"} and pattern.count("?") <= 1
